"""Arrays that a program hands over: of the kind that is needed, or one line that says what they are."""

import numpy as np

from lhg_jax.util.errors import UserError


def require_sound(wave: np.ndarray, name: str) -> None:
    """Raises `UserError` unless `wave` is mono sound as floats: integers would be played far too loud."""
    if not (np.issubdtype(wave.dtype, np.floating) and wave.ndim == 1):
        raise UserError(f"{name}: sound must be floats in [-1, 1] of one channel, not {_kind(wave)}")


def require_images(images: np.ndarray, name: str, dimensions: int) -> None:
    """Raises `UserError` unless these are RGB pictures in 8 bits: one (3 dimensions), or several (4)."""
    if not (images.dtype == np.uint8 and images.ndim == dimensions and images.shape[-1] == 3):
        shape = "[height, width, 3]" if dimensions == 3 else "[frames, height, width, 3]"
        raise UserError(f"{name}: pictures must be RGB, uint8 {shape}, not {_kind(images)}")


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"

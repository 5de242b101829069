"""A generated head put into the portrait: the background away from the head stays the photograph's own."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.render.smoothstep import smoothstep

GROW = 0.03  # of the picture's width, by which the mask reaches beyond the head
EDGE = 0.08  # of the picture's width, over which it fades at the picture's edges

Affine = Float[np.ndarray, "2 3"]
Mask = Float[np.ndarray, "height width"]


def head_mask(foreground: Float[np.ndarray, "rays rays"], size: int) -> Float[np.ndarray, "size size"]:
    """Where a generated picture shows a head: the share of labels but background, grown and blurred."""
    mask = cv2.resize(foreground.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    radius = max(1, round(GROW * size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.GaussianBlur(cv2.dilate(mask, disc), (0, 0), radius / 2)


def edge_mask(size: int) -> Float[np.ndarray, "size size"]:
    """1 in the middle of a generated picture, falling to 0 at its edges."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) / (EDGE * size)
    ramp = smoothstep(distance).astype(np.float32)
    return np.outer(ramp, ramp)


def place(picture: np.ndarray, to_portrait: Affine, shape: tuple[int, int]) -> np.ndarray:
    """A generated picture (or mask) in the portrait's pixels, 0 outside of it.

    A picture that shrinks to less than half is averaged first: sampling alone would alias.
    """
    zoom = _zoom(to_portrait)
    if zoom < 0.5:
        size = max(2, round(picture.shape[0] * zoom))
        shrunk = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        factor = picture.shape[0] / size
        shift = to_portrait[:, :2] @ np.full(2, (factor - 1) / 2) + to_portrait[:, 2]  # centres of pixels
        picture, to_portrait = shrunk, np.column_stack([to_portrait[:, :2] * factor, shift])
    return cv2.warpAffine(picture, to_portrait, shape[::-1], flags=cv2.INTER_LINEAR)


def cut(
    portrait: UInt8[np.ndarray, "height width 3"], to_portrait: Affine, size: int
) -> Float[np.ndarray, "size size 3"]:
    """The portrait as a generated picture lies in it, RGB in [0, 1]; beyond the portrait, its mirror image.

    A portrait that shrinks to less than half is blurred first.
    """
    zoom = _zoom(to_portrait)
    pixels = portrait.astype(np.float32) / 255.0
    if zoom > 2:
        pixels = cv2.GaussianBlur(pixels, (0, 0), zoom / 3)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, to_portrait, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def paste(
    portrait: UInt8[np.ndarray, "height width 3"], picture: Float[np.ndarray, "height width 3"], mask: Mask
) -> UInt8[np.ndarray, "height width 3"]:
    """`picture` (in [0, 1], already placed) over the portrait where `mask` is 1; untouched where it is 0."""
    frame = portrait.copy()
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if len(rows) == 0:
        return frame
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    share = mask[box][..., None]
    mixed = portrait[box] * (1.0 - share) + 255.0 * picture[box] * share
    frame[box] = np.rint(mixed).astype(np.uint8)
    return frame


def _zoom(to_portrait: Affine) -> float:
    """Portrait pixels for one of the picture's."""
    return float(np.sqrt(abs(np.linalg.det(to_portrait[:, :2]))))

"""MFCC with first and second differences, one row a motion frame (DESIGN section 3)."""

import functools
import math

import numpy as np
from jaxtyping import Float

from lhg_jax.features import MEL_BANDS
from lhg_jax.speech.log_mel import log_mel

COEFFICIENTS = 13
HALF_WIDTH = 4  # frames on each side in a difference: 9 in all, 0.3 s


def mfcc(wave: Float[np.ndarray, "samples"], frames: int) -> Float[np.ndarray, "frames 39"]:
    """13 MFCC, their first and their second differences, float32; row t is centred at (t + 1/2)/30 s.

    See `log_mel` for `wave`, `frames` and errors, and `mfcc_of_log_mel` for the definition.
    """
    return mfcc_of_log_mel(log_mel(wave, frames), frames)


def mfcc_of_log_mel(log_mel: Float[np.ndarray, "steps 128"], frames: int) -> Float[np.ndarray, "frames 39"]:
    """MFCC from a clip's log-mel: mel step 2t + 1 is the one whose centre is the centre of frame t.

    Equal to `librosa.feature.mfcc(S=log_mel[1::2].T, n_mfcc=13)` stacked with `librosa.feature.delta` of
    orders 1 and 2 in mode "nearest" (the first and the last row go on for ever), which one frame has, too.
    Levels are relative to the clip's maximum, as those of `log_mel`: coefficient 0 lies in [-906, 0].
    """
    static = log_mel[1 : 2 * frames : 2] @ _dct().T
    return np.concatenate([static, _difference(static, 1), _difference(static, 2)], axis=1)


@functools.cache
def _dct() -> Float[np.ndarray, "13 128"]:
    """The first rows of the orthonormal DCT-II."""
    row, band = np.arange(COEFFICIENTS)[:, None], np.arange(MEL_BANDS)
    basis = np.sqrt(2 / MEL_BANDS) * np.cos(np.pi * row * (band + 0.5) / MEL_BANDS)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _difference(rows: Float[np.ndarray, "frames coeff"], order: int) -> Float[np.ndarray, "frames coeff"]:
    """Derivative of the polynomial of degree `order` fitted to 9 frames, per frame (Savitzky-Golay)."""
    padded = np.concatenate([rows[:1]] * HALF_WIDTH + [rows] + [rows[-1:]] * HALF_WIDTH)
    kernel = _difference_kernel(order)
    return sum(weight * padded[first : first + len(rows)] for first, weight in enumerate(kernel))


@functools.cache
def _difference_kernel(order: int) -> Float[np.ndarray, "9"]:
    offsets = np.arange(-HALF_WIDTH, HALF_WIDTH + 1)
    fit = np.linalg.pinv(np.vander(offsets, order + 1, increasing=True))
    return (math.factorial(order) * fit[order]).astype(np.float32)

"""MFCC with first and second differences, one row a motion frame (DESIGN section 3).

Equal to librosa's `feature.mfcc` and `feature.delta`. Their own steps (scipy's DCT and Savitzky-Golay filter)
are called here directly: augmentation does this for every training crop, and it takes a quarter of the time.
"""

import functools

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
from jaxtyping import Float

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
    static = static_mfcc(log_mel[1 : 2 * frames : 2])
    padded = held(static, HALF_WIDTH, HALF_WIDTH)
    return np.concatenate([static, *(differences(padded, order) for order in (1, 2))], axis=1)


def past_mfcc_of_log_mel(
    log_mel: Float[np.ndarray, "steps 128"], frames: int
) -> Float[np.ndarray, "frames 39"]:
    """As `mfcc_of_log_mel`, with the differences of the 9 frames that end with each (`causal.hear`)."""
    static = static_mfcc(log_mel[1 : 2 * frames : 2])
    padded = held(static, 2 * HALF_WIDTH, 0)
    return np.concatenate([static, *(differences(padded, order) for order in (1, 2))], axis=1)


def held(
    rows: Float[np.ndarray, "rows coeff"], before: int, after: int
) -> Float[np.ndarray, "more_rows coeff"]:
    """The rows, the first `before` times more and the last `after` times; np.pad takes many times as long."""
    return rows[np.clip(np.arange(-before, len(rows) + after), 0, len(rows) - 1)]


def static_mfcc(log_mel: Float[np.ndarray, "rows 128"]) -> Float[np.ndarray, "rows 13"]:
    """The first coefficients of the orthonormal DCT-II of each row."""
    if not len(log_mel):
        return np.zeros((0, COEFFICIENTS), np.float32)
    return scipy.fft.dct(log_mel, axis=1, norm="ortho")[:, :COEFFICIENTS]


def differences(rows: Float[np.ndarray, "rows coeff"], order: int) -> Float[np.ndarray, "middles coeff"]:
    """Derivative of the polynomial of degree `order` fitted to each 9 neighbouring rows (Savitzky-Golay).

    Eight rows fewer than were given. Such a polynomial's derivative is the same all along the 9 rows, so it
    belongs to the row in the middle (`mfcc_of_log_mel`) or, late, to the last (`causal.hear`).
    """
    middles = max(len(rows) - 2 * HALF_WIDTH, 0)
    if not middles:
        return np.zeros((0, rows.shape[1]), np.float32)
    filtered = scipy.ndimage.correlate1d(rows, _kernel(order), axis=0)
    return filtered[HALF_WIDTH : HALF_WIDTH + middles]


@functools.cache
def _kernel(order: int) -> Float[np.ndarray, "9"]:
    return scipy.signal.savgol_coeffs(2 * HALF_WIDTH + 1, order, deriv=order, use="dot").astype(np.float32)

"""From measurements at irregular times, with gaps, to a smooth motion at a constant frame rate.

Smoothing is local quadratic regression (Savitzky & Golay 1964, for uneven times as in Cleveland 1979): the
value at a time is that of the parabola fitted, with tricube weights, to the samples within `half_width_s`
of it. It has no delay, passes parabolas unchanged, and its gain falls only from the curve's fourth
derivative on.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse

from lhg_jax.motion import MAX_GAP_S

# A nod of 3 Hz keeps 95 % of its amplitude; the sd of white jitter falls to 60 % at 30 frames/s.
POSE_HALF_WIDTH_S = 0.14
# A blink lasts 0.1-0.3 s and speech moves the mouth at up to 7 Hz: narrower.
EXPRESSION_HALF_WIDTH_S = 0.09


def smoothing_matrix(
    times_s: Float[np.ndarray, "samples"], at_s: Float[np.ndarray, "frames"], half_width_s: float
) -> sparse.csr_matrix:
    """The linear map from samples at increasing `times_s` to smoothed values at `at_s`.

    A time with fewer than four samples within the half width, or with none on one side, gets linear
    interpolation: there is nothing to average.
    """
    first = np.searchsorted(times_s, at_s - half_width_s)
    last = np.searchsorted(times_s, at_s + half_width_s)
    matrix = sparse.lil_matrix((len(at_s), len(times_s)))
    for row, (start, end, time_s) in enumerate(zip(first, last, at_s, strict=True)):
        offset = (times_s[start:end] - time_s) / half_width_s
        if len(offset) >= 4 and offset[0] <= 0 <= offset[-1]:
            matrix[row, start:end] = _parabola_weights(offset)
        else:
            columns, weights = _linear_weights(times_s, time_s)
            matrix[row, columns] = weights
    return matrix.tocsr()


def _parabola_weights(offset: Float[np.ndarray, "near"]) -> Float[np.ndarray, "near"]:
    """Weights of the samples at `offset` (in half widths, within ±1) in the fitted parabola's value at 0."""
    tricube = np.clip(1 - np.abs(offset) ** 3, 1e-6, None) ** 3
    powers = np.stack([np.ones_like(offset), offset, offset**2])
    # Where weights leave fewer than three clear samples the ridge chooses the flattest parabola.
    normal = (powers * tricube) @ powers.T + np.diag([0.0, 1e-9, 1e-9])
    return np.linalg.solve(normal, powers * tricube)[0]


def _linear_weights(times_s: Float[np.ndarray, "samples"], time_s: float) -> tuple[list[int], list[float]]:
    """Columns and weights of linear interpolation, held at both ends."""
    after = int(np.searchsorted(times_s, time_s))
    if after in (0, len(times_s)):
        return [min(after, len(times_s) - 1)], [1.0]
    share = (time_s - times_s[after - 1]) / (times_s[after] - times_s[after - 1])
    return [after - 1, after], [1.0 - share, share]


def hold_through_gaps(times_s: Float[np.ndarray, "samples"]) -> tuple[np.ndarray, Float[np.ndarray, "knots"]]:
    """Extra knots that keep the last value through every long gap but its last second.

    Returns:
      (index, knots_s): the sample whose value each knot has, and the knots' times; with no gap longer than
      `MAX_GAP_S` these are the samples themselves.
    """
    long_gaps = np.flatnonzero(np.diff(times_s) > MAX_GAP_S)
    index = np.concatenate([np.arange(len(times_s)), long_gaps])
    knots_s = np.concatenate([times_s, times_s[long_gaps + 1] - MAX_GAP_S])
    order = np.argsort(knots_s, kind="stable")
    return index[order], knots_s[order]


def gaps(seen: Bool[np.ndarray, "frames"]) -> list[tuple[int, int]]:
    """Runs [start, end) of frames without a face between frames with one."""
    edges = np.flatnonzero(np.diff(seen.astype(np.int8)))
    starts, ends = edges[~seen[edges + 1]] + 1, edges[seen[edges + 1]] + 1
    if len(ends) and (not len(starts) or ends[0] < starts[0]):
        ends = ends[1:]  # the clip begins without a face: nothing to bridge from
    return list(zip(starts.tolist(), ends.tolist(), strict=False))

"""Resampling to 30 frames/s: gain, delay, blinks, noise and gaps."""

import numpy as np
import pytest

from lhg_jax.faces import resampling
from lhg_jax.motion import FRAME_RATE

SECONDS = 8.0
AT_S = (np.arange(int(SECONDS * FRAME_RATE)) + 0.5) / FRAME_RATE
INSIDE = slice(15, -15)


def frame_centres(fps: float, jitter: float = 0.0) -> np.ndarray:
    count = int(SECONDS * fps)
    return (np.arange(count) + 0.5 + jitter * np.random.default_rng(0).uniform(-1, 1, count)) / fps


@pytest.mark.parametrize("fps, jitter", [(24, 0), (25, 0), (29.97, 0), (30, 0), (60, 0), (30, 0.4)])
def test_a_nod_of_3_hz_keeps_nine_tenths_without_delay(fps, jitter):
    times_s = frame_centres(fps, jitter)
    matrix = resampling.smoothing_matrix(times_s, AT_S, resampling.POSE_HALF_WIDTH_S)
    response = (matrix @ np.exp(6j * np.pi * times_s)) / np.exp(6j * np.pi * AT_S)
    gain = response[INSIDE].mean()
    assert 0.9 <= abs(gain) <= 1.0
    assert abs(np.angle(gain)) < 0.02


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_short_blink_stays_closed(fps):
    times_s = frame_centres(fps)

    def blink(time_s):
        return np.exp(-(((time_s - 4.0) / 0.06) ** 2))  # 100 ms wide at half its height

    matrix = resampling.smoothing_matrix(times_s, AT_S, resampling.EXPRESSION_HALF_WIDTH_S)
    assert (matrix @ blink(times_s)).max() >= 0.85


@pytest.mark.parametrize("half_width_s", [resampling.POSE_HALF_WIDTH_S, resampling.EXPRESSION_HALF_WIDTH_S])
@pytest.mark.parametrize("fps", [5, 25, 30, 60])
def test_constants_are_kept_and_jitter_is_not_raised(fps, half_width_s):
    matrix = resampling.smoothing_matrix(frame_centres(fps), AT_S, half_width_s)
    np.testing.assert_allclose(matrix @ np.ones(matrix.shape[1]), 1.0, atol=1e-6)
    noise_gain = np.sqrt(matrix.multiply(matrix).sum(axis=1))[INSIDE]
    assert noise_gain.max() <= 1.01
    if fps >= 25:
        assert noise_gain.mean() < 0.85


def test_parabolas_pass_unchanged():
    times_s = frame_centres(30, jitter=0.3)
    matrix = resampling.smoothing_matrix(times_s, AT_S, resampling.POSE_HALF_WIDTH_S)
    np.testing.assert_allclose((matrix @ (times_s - 3) ** 2)[INSIDE], (AT_S[INSIDE] - 3) ** 2, atol=1e-5)


def test_one_sample_is_held():
    matrix = resampling.smoothing_matrix(np.array([0.5]), AT_S, resampling.POSE_HALF_WIDTH_S)
    np.testing.assert_array_equal(matrix @ np.array([2.5]), 2.5)


def through_gap(gap_s: float) -> np.ndarray:
    """A ramp from 0 to 8 whose samples between 3 s and 3 s + gap are missing."""
    times_s = frame_centres(30)
    times_s = times_s[(times_s < 3.0) | (times_s > 3.0 + gap_s)]
    index, knots_s = resampling.hold_through_gaps(times_s)
    return resampling.smoothing_matrix(knots_s, AT_S, resampling.POSE_HALF_WIDTH_S) @ times_s[index]


def test_short_gaps_are_straight_lines():
    np.testing.assert_allclose(through_gap(0.9)[INSIDE], AT_S[INSIDE], atol=0.02)


def test_long_gaps_are_held_and_then_bridged():
    values = through_gap(3.0)
    held = values[(AT_S > 3.2) & (AT_S < 4.9)]
    np.testing.assert_allclose(held, 3.0, atol=0.02)
    bridged = values[(AT_S > 5.1) & (AT_S < 5.9)]
    assert (np.diff(bridged) > 0).all() and np.abs(np.diff(values)).max() < 0.15


def test_gaps_lie_between_sightings():
    seen = np.array([0, 0, 1, 1, 0, 1, 0, 0, 1, 0], bool)
    assert resampling.gaps(seen) == [(4, 5), (6, 8)]
    assert resampling.gaps(np.ones(4, bool)) == []

"""Frames between drawn ones: in time, moved and not doubled, and no more of them drawn than asked for."""

from types import SimpleNamespace

import numpy as np
import pytest

from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.render import check_fps, draw_fewer
from lhg_jax.render.frame_rate import InBetween, chosen_times
from lhg_jax.util.errors import UserError


def blob(x: float, size: int = 96) -> np.ndarray:
    """A soft textured disc at column `x`."""
    column, row = np.meshgrid(np.arange(size), np.arange(size))
    light = 40 + 200 * np.exp(-((column - x) ** 2 + (row - 48) ** 2) / 120)
    return np.repeat(light[..., None], 3, axis=2).round().astype(np.uint8)


class Spy:
    """A renderer that draws a blob at the column that the first coefficient says."""

    space = LANDMARK

    def __init__(self):
        self.times_s: list[float] = []

    def __call__(self, portrait, fit):
        def animate(motion, times_s):
            self.times_s += list(times_s)
            return (blob(row[0]) for row in motion.at_times(times_s))

        return SimpleNamespace(animate=animate)


def test_drawn_times_keep_the_rate_and_both_ends():
    rng = np.random.default_rng(0)
    times_s = np.cumsum(rng.uniform(0.01, 0.06, 200))
    chosen = chosen_times(times_s, 5.0)
    assert (chosen[0], chosen[-1]) == (0, 199)
    gaps = np.diff(times_s[chosen])
    assert (gaps[:-1] >= 0.2 - 1e-6).all() and gaps.max() < 0.26 + 0.06
    assert chosen_times(times_s, 1e4) == list(range(200))
    assert chosen_times(times_s[:1], 5.0) == [0]


def test_moving_picture_is_followed():
    values = np.zeros((31, LANDMARK.size), np.float32)
    values[:, 0] = np.linspace(30, 60, 31)
    motion, spy = Motion(LANDMARK, values), Spy()
    times_s = (np.arange(31) + 0.5) / 30
    frames = list(draw_fewer(spy, 6.0)(blob(0), None).animate(motion, times_s))
    assert len(frames) == 31 and len(spy.times_s) == 7
    for frame, row in zip(frames, values, strict=True):
        light = frame[..., 0].astype(float) - 40
        column = (light.sum(0) @ np.arange(96)) / light.sum()
        assert column == pytest.approx(row[0], abs=0.5)
        assert light.max() > 190  # one blob, not two half ones


def test_equal_frames_stay():
    image = np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8)
    np.testing.assert_array_equal(InBetween(image, image).at(0.3), image)


@pytest.mark.parametrize("fps", [0.0, -3.0, float("nan")])
def test_rates_that_are_none_are_refused(fps):
    with pytest.raises(UserError, match="--renderer-fps"):
        check_fps(fps)

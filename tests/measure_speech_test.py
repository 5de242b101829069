"""What tools/measure_speech.py says of a long clip, on motions whose answer is known."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lhg_jax.motion import FRAME_RATE

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from measure_speech import jumps, minutes

MINUTE = int(60 * FRAME_RATE)


def test_a_listener_who_calms_down_is_found():
    rng = np.random.default_rng(0)
    lively = rng.normal(size=(4 * MINUTE + 7, 3)).astype(np.float32)
    calm = lively.copy()
    calm[3 * MINUTE :] *= 0.5
    steady, fading = minutes([lively]), minutes([calm])
    assert steady["last over first minute"] == pytest.approx(1, abs=0.1)
    assert fading["last over first minute"] == pytest.approx(steady["last over first minute"] / 4)
    assert fading["least over mean"] == pytest.approx(0.25 / (3.25 / 4), rel=0.1)


@pytest.mark.parametrize("frame", [118, 177])
def test_a_jump_where_a_window_begins_or_ends_is_one_of_the_borders(frame):
    rng = np.random.default_rng(1)
    motion = np.cumsum(rng.normal(0, 0.01, (400, 2)), axis=0).astype(np.float32)
    motion[frame + 1 :] += 5
    found = jumps([motion, motion[::-1]], starts=[118, 236], overlap=60)
    assert found["largest at borders"] > 4.9


def test_a_jump_elsewhere_is_not():
    motion = np.zeros((400, 2), np.float32)
    motion[150:] += 5
    found = jumps([motion], starts=[118, 236], overlap=60)
    assert found["largest at borders"] == 0
    assert found["largest elsewhere"] == 5

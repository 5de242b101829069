"""Breath, blinks, a shut mouth and a pose that comes back."""

import numpy as np

from lhg_jax.face_model import action
from lhg_jax.live.idle import BLINKS_PER_MIN, DEAD_BAND, POSE, Idle
from lhg_jax.motion import FRAME_RATE, LANDMARK

EXP = LANDMARK.slice("exp")
LOUD, SILENT = -5.0, -80.0


def held(values, rest, name):
    direction = action(name)
    return (values[EXP] - rest[EXP]) @ direction / (direction @ direction)


def portrait(seed=0):
    return np.random.default_rng(seed).normal(0, 0.02, 70).astype(np.float32)


def live(idle, motion, seconds, level_db):
    return np.stack([idle(motion, level_db) for _ in range(round(seconds * FRAME_RATE))])


def test_blinks_and_breathes_at_rest():
    rest = portrait()
    frames = live(Idle(rest, seed=1), rest, 240, SILENT)
    eyes = np.array([held(values, rest, "blink") for values in frames])
    blinks = ((eyes[1:] > 0.5) & (eyes[:-1] <= 0.5)).sum() / 4
    assert 0.75 * BLINKS_PER_MIN < blinks < 1.3 * BLINKS_PER_MIN
    pitch = frames[:, LANDMARK.slice("angle").start] - rest[LANDMARK.slice("angle").start]
    assert 0.002 < np.ptp(pitch) < 0.02
    assert np.abs(np.diff(frames, axis=0)).max() < 0.1, "nothing jumps"


def test_other_seeds_blink_at_other_times():
    rest = portrait()
    a, b = (live(Idle(rest, seed), rest, 20, SILENT) for seed in (1, 2))
    assert np.abs(a - b).max() > 0.01
    np.testing.assert_array_equal(a, live(Idle(rest, 1), rest, 20, SILENT))


def test_the_mouth_shuts_in_silence_only():
    rest = portrait()
    motion = rest.copy()
    motion[EXP] += 0.6 * action("jaw_open").astype(np.float32)
    idle = Idle(rest, seed=0)
    live(idle, motion, 0.3, SILENT)  # speech stands out from something
    assert held(live(idle, motion, 1, LOUD)[-1], rest, "jaw_open") > 0.55
    assert abs(held(live(idle, motion, 2, SILENT)[-1], rest, "jaw_open")) < 0.02
    assert held(live(idle, motion, 1, LOUD)[-1], rest, "jaw_open") > 0.55


def test_a_pose_that_stays_away_is_pulled_back_to_the_dead_band():
    rest = portrait()
    motion = rest.copy()
    motion[POSE] += 3 * DEAD_BAND.astype(np.float32)
    frames = live(Idle(rest, seed=0), motion, 60, LOUD)
    departure = frames[:, POSE] - rest[POSE]
    np.testing.assert_allclose(departure[0], 3 * DEAD_BAND, atol=0.02)
    np.testing.assert_allclose(departure[-1], DEAD_BAND, atol=0.02)
    nod = rest.copy()
    nod[POSE] += 0.9 * DEAD_BAND.astype(np.float32)
    kept = live(Idle(rest, seed=0), nod, 60, LOUD)[-1][POSE] - rest[POSE]
    np.testing.assert_allclose(kept, 0.9 * DEAD_BAND, atol=0.02)

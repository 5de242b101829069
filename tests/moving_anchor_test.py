import numpy as np

from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.moving_anchor import BEGIN_FRAMES, MovingAnchor, relative_to_anchor


def random_motion(frames, seed=0):
    return Motion(
        LANDMARK, np.random.default_rng(seed).normal(size=(frames, 70)).cumsum(0).astype(np.float32)
    )


def test_begins_as_the_mean_of_the_first_second():
    values = random_motion(BEGIN_FRAMES).values
    relative = relative_to_anchor(Motion(LANDMARK, values)).values
    np.testing.assert_array_equal(relative[0], 0)
    np.testing.assert_allclose(relative[-1], values[-1] - values.mean(axis=0), atol=1e-4)


def test_a_constant_offset_cancels():
    motion = random_motion(200)
    moved = Motion(LANDMARK, motion.values + np.linspace(-3, 3, 70, dtype=np.float32))
    np.testing.assert_allclose(relative_to_anchor(moved).values, relative_to_anchor(motion).values, atol=1e-4)


def test_forgets_a_new_place_in_twenty_seconds():
    values = np.zeros((1230, 70), np.float32)
    values[30:] = 1.0
    relative = relative_to_anchor(Motion(LANDMARK, values)).values[:, 0]
    np.testing.assert_allclose(relative[[30, 630, 1229]], np.exp([0, -1, -2]), atol=0.003)


def test_later_frames_change_nothing_before():
    motion, other = random_motion(100), random_motion(100, seed=1)
    mixed = Motion(LANDMARK, np.concatenate([motion.values[:60], other.values[60:]]))
    a, b = relative_to_anchor(motion).values, relative_to_anchor(mixed).values
    np.testing.assert_array_equal(a[:60], b[:60])
    assert not np.allclose(a[60:], b[60:])


def test_frames_without_a_face_do_not_move_the_anchor():
    motion = random_motion(100)
    seen = np.ones(100, bool)
    seen[:5] = seen[40:60] = False
    values = motion.values.copy()
    values[~seen] = 50.0
    relative = relative_to_anchor(Motion(LANDMARK, values, valid=seen)).values
    np.testing.assert_array_equal(relative[:5], 0)
    short = relative_to_anchor(Motion(LANDMARK, motion.values[seen])).values
    np.testing.assert_allclose(relative[seen], short, atol=1e-4)
    assert MovingAnchor().mean is None

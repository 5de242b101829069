import dataclasses

import numpy as np
import pytest

from lhg_jax.motion import DEEP3D, LANDMARK, Motion, load_motion, require_same_space, save_motion
from lhg_jax.util.errors import UserError


def random_motion(frames: int = 40, fps: float = 30.0) -> Motion:
    values = np.random.default_rng(0).normal(size=(frames, LANDMARK.size)).astype(np.float32)
    return Motion(LANDMARK, values, fps, np.arange(frames) % 7 != 0)


def test_parts_tile_the_space():
    motion = random_motion()
    parts = [motion.part(part.name) for part in LANDMARK.parts]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), motion.values)
    assert set(LANDMARK.pose_indices()) == set(range(64, 70))
    with pytest.raises(KeyError, match=r"no part 'crop': it has \['exp', 'angle', 'trans'\]"):
        LANDMARK.slice("crop")


def test_replace_changes_one_part_of_a_copy():
    motion = random_motion()
    before = motion.values.copy()
    turned = motion.replace(angle=np.full((40, 3), 0.25, np.float32))
    assert (turned.part("angle") == 0.25).all()
    np.testing.assert_array_equal(turned.part("exp"), motion.part("exp"))
    np.testing.assert_array_equal(motion.values, before)


def test_at_times_meets_frame_centres_and_holds_the_ends():
    motion = random_motion(fps=25.0)
    centres = (np.arange(40) + 0.5) / 25
    np.testing.assert_allclose(motion.at_times(centres), motion.values, atol=1e-6)
    np.testing.assert_allclose(motion.at_times([1 / 25])[0], motion.values[:2].mean(0), atol=1e-6)
    np.testing.assert_array_equal(motion.at_times([-3.0, 99.0]), motion.values[[0, -1]])


def test_file_round_trip(tmp_path):
    motion = random_motion(fps=29.97)
    path = tmp_path / "a folder" / "motion ü.npz"
    save_motion(path, motion)
    again = load_motion(path)
    assert again.space == LANDMARK and again.fps == 29.97
    np.testing.assert_array_equal(again.values, motion.values)
    np.testing.assert_array_equal(again.valid, motion.valid)
    assert list(path.parent.iterdir()) == [path]


def test_bad_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.npz: no such file"):
        load_motion(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("not a motion")
    with pytest.raises(UserError, match=r"text\.npz: not a motion file"):
        load_motion(text)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, space=np.array(["landmark", {}], object))
    with pytest.raises(UserError, match=r"pickled\.npz: not a motion file"):
        load_motion(pickled)
    other = tmp_path / "other.npz"
    np.savez(other, space="mars", values=np.eye(3), fps=30.0, valid=np.array([True]))
    with pytest.raises(UserError, match="unknown coefficient space 'mars'"):
        load_motion(other)


def test_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "motion.npz"
    save_motion(path, random_motion())
    before = path.read_bytes()
    blocked = tmp_path / "motion.npz" / "below.npz"
    with pytest.raises(UserError, match="cannot be written"):
        save_motion(blocked, random_motion())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_wrong_shapes_and_values_are_refused():
    with pytest.raises(UserError, match=r"motion of shape \(3, 4\) does not fit space 'landmark'"):
        Motion(LANDMARK, np.zeros((3, 4), np.float32))
    motion = random_motion()
    values = motion.values.copy()
    values[3, 5] = np.nan
    with pytest.raises(UserError, match="not finite"):
        dataclasses.replace(motion, values=values)


def test_different_spaces_are_both_named():
    with pytest.raises(
        UserError, match=r"a\.npz is in space 'deep3d' but the renderer is in space 'landmark'"
    ):
        require_same_space("a.npz", DEEP3D, "the renderer", LANDMARK)


def test_short_gaps_are_bridged_and_long_ones_are_not():
    seen = np.ones(200, bool)
    seen[:3] = seen[50:79] = seen[100:130] = seen[190:] = False  # both ends, 29 frames, 30 frames
    motion = Motion(LANDMARK, np.zeros((200, LANDMARK.size), np.float32), valid=seen)
    expected = seen.copy()
    expected[50:79] = True
    np.testing.assert_array_equal(motion.bridged, expected)
    np.testing.assert_array_equal(motion.bridged_at([0.01, 2.0, 3.7, 99.0]), [False, True, False, False])

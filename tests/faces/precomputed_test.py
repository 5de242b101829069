import numpy as np
import pytest
from scipy.io import savemat

from lhg_jax.faces.precomputed import at_video_rate, read_coefficients
from lhg_jax.motion import DEEP3D, DEEP3D_CROP, LANDMARK, Motion, save_motion
from lhg_jax.util.errors import UserError

FRAMES = 7


def network_output(rng):
    """The parts of Deep3DFaceRecon's output, `coeff` as it orders them, and the crops."""
    sizes = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    parts = {name: rng.normal(size=(FRAMES, size)).astype(np.float32) for name, size in sizes.items()}
    crops = rng.uniform(0.5, 300, (FRAMES, 5)).astype(np.float32)
    return parts, np.concatenate(list(parts.values()), axis=1), crops


def assert_parts(motion, parts, crops=None):
    assert motion.fps == 30
    for name in ("exp", "angle", "trans"):
        np.testing.assert_array_equal(motion.part(name), parts[name])
    if crops is not None:
        np.testing.assert_array_equal(motion.part("crop"), crops[:, 2:])


def test_mat_of_the_published_layout(tmp_path):
    parts, coeff, crops = network_output(np.random.default_rng(0))
    savemat(tmp_path / "a.mat", {"coeff": coeff, "transform_params": crops})
    motion = read_coefficients(tmp_path / "a.mat")
    assert motion.space == DEEP3D_CROP
    assert_parts(motion, parts, crops)


def test_without_crops(tmp_path):
    parts, coeff, _ = network_output(np.random.default_rng(1))
    np.savez(tmp_path / "a.npz", coeff=coeff)
    motion = read_coefficients(tmp_path / "a.npz")
    assert motion.space == DEEP3D
    assert_parts(motion, parts)


@pytest.mark.parametrize("width", [70, 73])
@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_the_baselines_order_is_permuted(width, suffix, tmp_path):
    parts, _, crops = network_output(np.random.default_rng(2))
    columns = [parts["angle"], parts["exp"], parts["trans"], crops[:, 2:]]
    rows = np.concatenate(columns, axis=1)[:, :width].astype(np.float64)
    path = tmp_path / f"a{suffix}"
    (savemat if suffix == ".mat" else lambda p, d: np.savez(p, **d))(path, {"angle.exp.trans": rows})
    motion = read_coefficients(path)
    assert motion.space == (DEEP3D_CROP if width == 73 else DEEP3D)
    assert_parts(motion, parts, crops if width == 73 else None)


def test_our_own_motion_files(tmp_path):
    values = np.random.default_rng(3).normal(size=(5, 70)).astype(np.float32)
    save_motion(tmp_path / "a.npz", Motion(LANDMARK, values))
    motion = read_coefficients(tmp_path / "a.npz")
    assert motion.space == LANDMARK
    np.testing.assert_array_equal(motion.values, values)


def test_files_that_hold_something_else(tmp_path):
    _, coeff, crops = network_output(np.random.default_rng(4))
    broken = coeff.copy()
    broken[2, 100] = np.nan
    cases = {
        "text.mat": (None, "not a .mat file"),
        "text.npz": (None, "not an .npz file"),
        "a.bin": (None, "read from .mat or .npz"),
        "nothing.npz": ({"a": coeff}, r"neither coeff nor angle.exp.trans \(it holds a\)"),
        "narrow.mat": ({"coeff": coeff[:, :200]}, r"coeff is float32 \[7, 200\], not float \[frames, 257\]"),
        "integers.npz": ({"coeff": coeff.astype(int)}, "coeff is int64"),
        "unequal.mat": ({"coeff": coeff, "transform_params": crops[1:]}, "7 rows of coeff, but 6"),
        "nan.mat": ({"coeff": broken}, "not finite"),
        "pickle.npz": ({"coeff": np.array([{}], object)}, "not an .npz file"),
    }
    for name, (arrays, message) in cases.items():
        path = tmp_path / name
        if arrays is None:
            path.write_bytes(b"words, but no numbers " * 20)
        elif name.endswith(".mat"):
            savemat(path, arrays)
        else:
            np.savez(path, **arrays)
        with pytest.raises(UserError, match=message):
            read_coefficients(path)
    for name in ("missing.mat", "missing.npz"):
        with pytest.raises(UserError, match="no such file"):
            read_coefficients(tmp_path / name)


def test_damaged_files(tmp_path):
    """As MATLAB writes them (compressed), overwritten and cut; and its newest format, which is another."""
    _, coeff, _ = network_output(np.random.default_rng(5))
    savemat(tmp_path / "whole.mat", {"coeff": coeff}, do_compression=True)
    np.savez_compressed(tmp_path / "whole.npz", coeff=coeff)
    for suffix, message in ((".mat", "not a .mat file"), (".npz", "not an .npz file")):
        whole = (tmp_path / f"whole{suffix}").read_bytes()
        middle = len(whole) // 2
        damaged = whole[:middle] + bytes(64) + whole[middle + 64 :]
        for content in (damaged, whole[:middle], whole[:100], b""):
            path = tmp_path / f"damaged{suffix}"
            path.write_bytes(content)
            with pytest.raises(UserError, match=message):
                read_coefficients(path)
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(500))
    with pytest.raises(UserError, match=r"not a \.mat file of version 7 or older"):
        read_coefficients(tmp_path / "new.mat")


def test_rows_of_a_video_at_25_frames_a_second_keep_its_time():
    """A head that turns steadily: at 30 frames/s it must turn as fast, for as long."""
    values = np.zeros((250, DEEP3D.size), np.float32)
    values[:, DEEP3D.slice("angle")] = np.linspace(0, 1, 250)[:, None]
    seen = np.arange(250) != 100
    motion = at_video_rate("a.mat", Motion(DEEP3D, values, valid=seen), 250, 25.0)
    assert len(motion) == 300 and motion.fps == 30
    at_5_s = motion.at_times([5.0])[0, DEEP3D.slice("angle")]
    np.testing.assert_allclose(at_5_s, (5.0 * 25 - 0.5) / 249, atol=1e-4)
    assert not motion.seen[[120, 121]].all() and motion.seen.sum() >= 298


def test_rows_at_30_a_second_are_left_alone_and_others_refused():
    motion = Motion(DEEP3D, np.zeros((300, DEEP3D.size), np.float32))
    assert at_video_rate("a.npz", motion, 250, 25.0) is motion
    assert at_video_rate("a.npz", motion, 301, 29.97) is motion
    with pytest.raises(UserError, match=r"a.npz: 300 rows, but the video has 280 frames"):
        at_video_rate("a.npz", motion, 280, 25.0)

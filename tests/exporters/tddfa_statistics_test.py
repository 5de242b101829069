"""The statistics beside 3DDFA_V2's weights: both forms of the file, and files that are refused."""

import io
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from stage_files import export

from lhg_exporters.faces.tddfa_statistics import NAME, read_statistics
from lhg_jax.util.errors import UserError


def random_table() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "mean": rng.normal(size=62).astype(np.float32),
        "std": rng.uniform(1e-5, 1e5, 62).astype(np.float32),
    }


def assert_reads(folder, table) -> None:
    for found, name in zip(read_statistics(folder), ("mean", "std"), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, table[name])


def test_the_released_statistics_are_the_recorded_ones(shared):
    recording = np.load(shared / "golden/mobilenet_3ddfa.images.npz")
    table = {name: recording[f"in_param_{name}"] for name in ("mean", "std")}
    assert_reads(shared / "weights/3ddfa_v2", table)


@pytest.mark.parametrize("protocol", range(3, 6))
def test_pickle_of_arrays(protocol, tmp_path):
    table = random_table()
    (tmp_path / f"{NAME}.pkl").write_bytes(pickle.dumps(table, protocol))
    assert_reads(tmp_path, table)


def test_pickle_of_numpy_1(tmp_path):
    written = pickle.dumps(random_table(), 3)
    assert b"numpy._core" in written
    (tmp_path / f"{NAME}.pkl").write_bytes(written.replace(b"numpy._core", b"numpy.core"))
    assert_reads(tmp_path, random_table())


class Code:
    """Unpickled by a plain unpickler, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_with_code_is_refused(protocol, tmp_path):
    table = {"more": Code(tmp_path / "proof")} | random_table()
    (tmp_path / f"{NAME}.pkl").write_bytes(pickle.dumps(table, protocol))
    with pytest.raises(UserError, match=rf"{NAME}\.pkl: names \S+, and such files can run code: refused"):
        read_statistics(tmp_path)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "name", ["numpy.load", "numpy.core.multiarray.fromfile", "os.ndarray", "numpyx.dtype"]
)
def test_other_names_than_those_of_arrays_are_refused(name, tmp_path):
    module, _, function = name.rpartition(".")
    (tmp_path / f"{NAME}.pkl").write_bytes(f"c{module}\n{function}\n.".encode())
    with pytest.raises(UserError, match=f"names {name}, "):
        read_statistics(tmp_path)


def archive(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npz_without_a_header() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("mean.npy", b"\x93NUMPY")
    return file.getvalue()


FINE = random_table()
DAMAGED = {
    "empty pickle": ("pkl", b"", "not a pickle of arrays"),
    "cut pickle": ("pkl", pickle.dumps(FINE)[:-40], "not a pickle of arrays"),
    "pickled list": ("pkl", pickle.dumps([1, 2]), "no table of mean and std"),
    "no arrays": ("pkl", pickle.dumps({"mean": [0.0] * 62, "std": [1.0] * 62}), "mean: not an array of 62"),
    "empty npz": ("npz", b"", "not an .npz file"),
    "cut npz": ("npz", archive(**FINE)[:-40], "not an .npz file"),
    "header": ("npz", npz_without_a_header(), "not an .npz file"),
    "objects": ("npz", archive(mean=np.array([{}] * 62), std=FINE["std"]), "not an .npz file"),
    "missing": ("npz", archive(mean=FINE["mean"]), "std: not an array of 62"),
    "length": ("npz", archive(mean=FINE["mean"][:-1], std=FINE["std"]), "mean: not an array of 62"),
    "NaN": ("npz", archive(mean=FINE["mean"] * np.nan, std=FINE["std"]), "mean: not all finite"),
    "zero": ("npz", archive(mean=FINE["mean"], std=0 * FINE["std"]), "std: not all positive"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_by_name(case, tmp_path):
    ending, content, message = DAMAGED[case]
    (tmp_path / f"{NAME}.{ending}").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_statistics(tmp_path)
    text = str(error.value)
    assert str(tmp_path / f"{NAME}.{ending}") in text and message in text and "\n" not in text


def test_checkpoint_without_statistics_is_not_exported(shared, tmp_path):
    pytest.importorskip("torch")
    weights = tmp_path / "mb05_120x120.pth"
    shutil.copyfile(shared / "weights/3ddfa_v2/mb05_120x120.pth", weights)
    with pytest.raises(UserError, match=rf"{NAME}\.pkl \(or \.npz\): no such file; .* beside the checkpoint"):
        export("tddfa", weights, tmp_path / "tddfa.onnx")
    assert list(tmp_path.iterdir()) == [weights]

"""Files of MATLAB: every way of writing numbers, and tags on which SciPy would end the process."""

import numpy as np
import pytest
from scipy.io import savemat

from lhg_jax.faces.mat_files import read_mat
from lhg_jax.util.errors import UserError


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}, {"oned_as": "row"}])
def test_numeric_arrays_come_back(tmp_path, options):
    rng = np.random.default_rng(0)
    arrays = {
        "coeff": rng.normal(size=(5, 257)),
        "n": np.int32([[1, 2]]),
        "a_rather_long_name": rng.normal(size=(2, 2)),
    }
    others = {} if "format" in options else {"cell": np.array([1, "x"], object), "struct": {"a": 1}}
    savemat(tmp_path / "a.mat", {**arrays, **others, "text": "hello"}, **options)
    back = read_mat(tmp_path / "a.mat")
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
    assert "cell" not in back and "struct" not in back


def test_a_data_type_that_is_none(tmp_path):
    """SciPy 1.17 takes it for an index into a table, and the process ends."""
    savemat(tmp_path / "a.mat", {"coeff": np.ones((5, 257), np.float32)})
    data = bytearray((tmp_path / "a.mat").read_bytes())
    tag = data.index(b"coeff") + 8
    assert data[tag] == 7
    data[tag + 1] = 1
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(UserError, match=r"a.mat: not a .mat file of version 7 or older"):
        read_mat(tmp_path / "a.mat")

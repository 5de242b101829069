import importlib.util
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from lhg_jax.metrics import inception
from lhg_jax.util.errors import UserError


@pytest.fixture(scope="module")
def state(shared):
    """The golden weights, in the official layout."""
    spec = importlib.util.spec_from_file_location("fill", shared / "golden/fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    manifest = json.loads((shared / "golden/fid_inception.manifest.json").read_text())
    return fill.state_dict(manifest, 121)


def test_features_equal_recordings(state, shared, tmp_path):
    safetensors.numpy.save_file(state, tmp_path / "inception.safetensors")
    params = inception.load(tmp_path / "inception.safetensors")
    for name in ("a256", "a299"):
        data = np.load(shared / f"golden/fid_inception.{name}.npz")
        found = np.asarray(inception.features(params, data["in_image_uint8"]))
        scale = np.abs(data["out_pool3"]).max()
        np.testing.assert_allclose(found, data["out_pool3"], atol=1e-5 * scale)


def test_torch_file(state, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({key: torch.from_numpy(np.asarray(x)) for key, x in state.items()}, tmp_path / "i.pth")
    loaded = inception.load(tmp_path / "i.pth")
    jax.tree.map(np.testing.assert_array_equal, loaded, inception.from_torch(state))


def test_weights_that_do_not_fit(state, tmp_path):
    path = tmp_path / "bad.safetensors"
    less = {key: x for key, x in state.items() if not key.startswith("Mixed_7c.branch_pool")}
    safetensors.numpy.save_file(less, path)
    with pytest.raises(UserError, match="missing: Mixed_7c/branch_pool/conv/bias"):
        inception.load(path)
    less = {key: x for key, x in state.items() if key != "Conv2d_1a_3x3.bn.weight"}
    safetensors.numpy.save_file(less, path)
    with pytest.raises(UserError, match=r"missing: Conv2d_1a_3x3\.bn\.weight"):
        inception.load(path)


def test_files_that_are_no_weights(tmp_path):
    for name in ("w.safetensors", "w.pth"):
        path = tmp_path / name
        with pytest.raises(UserError, match="no such file"):
            inception.load(path)
        path.write_bytes(b"something else")
        with pytest.raises(UserError, match="not a"):
            inception.load(path)

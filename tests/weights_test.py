"""Weights files: round trip, and one-line errors for everything else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.util.errors import UserError
from lhg_jax.weights import check_tree, load_weights, save_weights


def random_tree() -> dict:
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 4), np.float32)
    return {
        "params": {"dense": {"kernel": jnp.asarray(kernel), "bias": kernel[0]}, "gain": np.float32(2.5)},
        "batch_stats": {"mean": kernel.T},
    }


def test_round_trip_keeps_values_layout_and_metadata(tmp_path):
    path, tree = tmp_path / "new" / "model.safetensors", random_tree()
    save_weights(path, tree, {"config": '{"hidden": 3}'})
    loaded, metadata = load_weights(path)
    jax.tree.map(np.testing.assert_array_equal, loaded, tree)
    assert metadata == {"config": '{"hidden": 3}'}
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    check_tree(path, loaded, jax.eval_shape(lambda: tree))


def test_misfits_are_listed():
    loaded, template = random_tree(), random_tree()
    del loaded["params"]["gain"]
    loaded["params"]["extra"] = {f"x{i}": np.zeros(1) for i in range(7)}
    loaded["batch_stats"]["mean"] = np.zeros((3, 4))
    with pytest.raises(UserError) as error:
        check_tree("m.safetensors", loaded, template)
    assert str(error.value) == (
        "m.safetensors: weights do not fit the model; missing: params/gain; "
        "unknown: params/extra/x0, params/extra/x1, params/extra/x2, params/extra/x3, params/extra/x4 "
        "and 2 more; "
        "wrong shape: batch_stats/mean (3, 4) instead of (4, 3)"
    )


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_unreadable_files(tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: (no such file|not a safetensors file)"):
        load_weights(path)


def test_truncated_file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, random_tree(), {})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="not a safetensors file"):
        load_weights(path)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(UserError, match="No space left on device"):
        save_weights(path, random_tree(), {})
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1

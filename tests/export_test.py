"""The listener for other runtimes: the same numbers as JAX, for any batch and length."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from models_helpers import TINY

from lhg_jax import export
from lhg_jax.contract import FeatureSpec
from lhg_jax.export import Options
from lhg_jax.listener_checkpoint import ListenerModel, load_listener, save_listener, template
from lhg_jax.models.listener import Listener
from lhg_jax.models.motion_scale import with_motion_statistics
from lhg_jax.motion import LANDMARK
from lhg_jax.util.errors import UserError

SMALL = dataclasses.replace(TINY, coeff=LANDMARK.size)


@pytest.fixture(scope="module")
def trained() -> ListenerModel:
    """A tiny listener whose every variable is random."""
    rng = np.random.default_rng(7)
    model = Listener(SMALL)
    features = FeatureSpec(word_size=12)
    shapes = template(model, features)
    variables = jax.tree.map(lambda x: (0.2 + 0.3 * rng.random(x.shape)).astype(x.dtype), shapes)
    mean, std = rng.normal(size=70) * 0.1, 0.1 + rng.random(70)
    return ListenerModel(model, with_motion_statistics(variables, mean, std), features)


@pytest.fixture(scope="module")
def checkpoint(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("listener") / "tiny.safetensors"
    save_listener(path, trained, {})
    return path


@pytest.fixture
def one_size(monkeypatch):
    """One comparison instead of two: each size is compiled twice."""
    monkeypatch.setattr(export, "SIZES", ((2, 14, 4),))


@pytest.mark.slow
def test_stablehlo_equals_jax(checkpoint, trained, tmp_path, one_size):
    path = tmp_path / "tiny.stablehlo"
    assert export.export(Options(path, "stablehlo", checkpoint)) <= export.TOLERANCE
    run = export.load_stablehlo(path)
    assert export.difference(trained, run, [(5, 62, 9)]) <= export.TOLERANCE
    with pytest.raises(ValueError, match="4"):
        run(**export.random_inputs(trained, 2, 16, 4))  # not 4 k + 2


@pytest.mark.slow
def test_saved_model_equals_jax(checkpoint, trained, tmp_path, one_size):
    pytest.importorskip("tensorflow")
    from lhg_jax.util import interop

    path = tmp_path / "tiny"
    assert export.export(Options(path, "savedmodel", checkpoint)) <= export.TOLERANCE
    stage = interop.load(path)
    assert stage.metadata["space"] == "landmark"
    assert export.difference(trained, stage, [(5, 62, 9)]) <= export.TOLERANCE
    with pytest.raises(UserError, match="exists"):
        export.export(Options(path, "savedmodel", checkpoint))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_onnx_equals_jax(checkpoint, trained, tmp_path, one_size):
    pytest.importorskip("jax2onnx", reason="needs jax2onnx (make export-env)")
    from lhg_jax.util import interop

    path = tmp_path / "tiny.onnx"
    with jax.numpy_rank_promotion("allow"):  # jax2onnx promotes ranks on its own account
        assert export.export(Options(path, "onnx", checkpoint, frames=14)) <= export.TOLERANCE
    stage = interop.load(path)
    assert export.difference(trained, stage, [(6, 14, 11)]) <= export.TOLERANCE


def test_a_wrong_file_is_noticed(trained):
    def run(**arrays):
        return {export.OUTPUT: arrays["speaker_motion"]}

    assert export.difference(trained, run, [(2, 14, 4)]) > export.TOLERANCE
    with pytest.raises(UserError, match=r"not written: 0\.1 away from JAX"):
        export.require_small(Path("x.onnx"), 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 92}, "--frames: 92 is not 4 k"),
        ({"output": "model.pb"}, "must end in .onnx"),
        ({"checkpoint": "none.safetensors"}, "no such file"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message, tmp_path):
    change = {name: tmp_path / value if isinstance(value, str) else value for name, value in change.items()}
    options = dataclasses.replace(Options(tmp_path / "x.onnx", "onnx"), **change)
    with pytest.raises(UserError, match=message):
        export.export(options)
    assert not list(tmp_path.iterdir())


def test_onnx_without_its_converter_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match="make export-env"):
        export.write_onnx(load_listener(None), tmp_path / "x.onnx", 90)

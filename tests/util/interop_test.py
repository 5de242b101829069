"""One callable for ONNX, SavedModel and PyTorch: the same numbers, and errors that say what does not fit."""

import sys

import numpy as np
import pytest

from lhg_jax.util import interop
from lhg_jax.util.errors import MissingExtraError, UserError
from lhg_jax.util.interop import ArraySpec, ExternalNetwork


@pytest.fixture(scope="module")
def network():
    torch = pytest.importorskip("torch")

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)

        def forward(self, x, shift):
            return torch.tanh(self.linear(x) + shift), x.sum(1)

    torch.manual_seed(3)
    return Two()


@pytest.fixture(scope="module")
def onnx_file(network, tmp_path_factory):
    import torch

    from lhg_exporters import Export
    from lhg_exporters import onnx_file as tools_module

    example = {"x": torch.randn(4, 3), "shift": torch.randn(2)}
    dynamic = {"x": {0: "batch"}, "y": {0: "batch"}, "total": {0: "batch"}}
    path = tmp_path_factory.mktemp("onnx") / "two.onnx"
    stage = Export(network.eval(), example, ("y", "total"), dynamic, "nobody", "none")
    tools_module.write_onnx(stage, path)
    assert tools_module.compare(stage, path) < 1e-6
    tools_module.annotate(path, source="nobody", licence="none")
    return path


def arguments(seed: int = 0, batch: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(batch, 3)).astype(np.float32),
        "shift": rng.normal(size=2).astype(np.float32),
    }


def test_onnx_equals_pytorch(network, onnx_file):
    stage = interop.load(onnx_file)
    specs = {"x": ArraySpec((None, 3), np.dtype("float32")), "shift": ArraySpec((2,), np.dtype("float32"))}
    assert stage.inputs == specs and stage.outputs == ("y", "total")
    assert stage.metadata["licence"] == "none"
    ours = stage(**arguments())
    theirs = interop.from_torch(network, specs, ("y", "total"))(**arguments())
    for name in stage.outputs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((5, 4), np.float32)}, r"input 'x' is float32 \(5, 4\), not float32 \(any, 3\)"),
        ({"x": np.zeros((5, 3))}, r"input 'x' is float64 \(5, 3\)"),
        ({"extra": np.zeros(1)}, r"takes inputs \['x', 'shift'\], not"),
    ],
)
def test_inputs_are_checked(change, message, onnx_file):
    with pytest.raises(UserError, match=message):
        interop.load(onnx_file)(**(arguments() | change))


def test_chunks_equal_one_call():
    def run(arrays):
        return {"y": np.cumsum(arrays["x"], axis=1), "z": arrays["w"] * 2}

    specs = {"x": ArraySpec((None, 3), np.dtype("float64")), "w": ArraySpec((None,), np.dtype("float64"))}
    stage = ExternalNetwork("toy", specs, ("y", "z"), {}, run)
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(7, 3)), rng.normal(size=7)
    for size in (1, 3, 7, 100):
        chunked = interop.in_chunks(stage, size, x=x, w=w)
        np.testing.assert_array_equal(chunked["y"], np.cumsum(x, axis=1))
        np.testing.assert_array_equal(chunked["z"], w * 2)
    with pytest.raises(UserError, match="one leading axis of equal, positive length"):
        interop.in_chunks(stage, 2, x=x, w=w[:3])


def test_saved_model_equals_its_function(tmp_path):
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    module.weight = tf.Variable(np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def call(x):
        return {"y": tf.tanh(x @ module.weight)}

    module.call = call
    folder = tmp_path / "model"
    tf.saved_model.save(module, str(folder), signatures=call)
    stage = interop.load(folder)
    x = arguments(batch=6)["x"]
    np.testing.assert_allclose(stage(x=x)["y"], np.tanh(x @ module.weight.numpy()), atol=1e-6)
    with pytest.raises(UserError, match="input 'x'"):
        stage(x=x[:, :2])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        interop.load(tmp_path / "none.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    with pytest.raises(UserError, match="not a usable ONNX file"):
        interop.load(text)
    with pytest.raises(UserError, match="nor a SavedModel folder"):
        interop.load(text.rename(tmp_path / "text.pth"))


def test_a_damaged_name_is_one_line_and_onnxruntime_prints_nothing(tmp_path, capfd):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "x"], ["y"])], "g", [x], [y])
    data = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString()
    (tmp_path / "a.onnx").write_bytes(data.replace(b"MatMul", b"Mat\xf4ul"))
    with pytest.raises(UserError, match=r"a.onnx: not a usable ONNX file"):
        interop.load(tmp_path / "a.onnx")
    assert not any(capfd.readouterr())


def test_missing_runtime_names_its_extra(onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"\.\[onnx\]"):
        interop.load(onnx_file)

"""Loops of an exported graph against the same loop in PyTorch; equal weights in an exported graph."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from lhg_exporters import Export  # noqa: E402
from lhg_exporters.loops import fold  # noqa: E402
from lhg_exporters.onnx_file import compare, write_onnx  # noqa: E402
from lhg_exporters.pirenderer.norms import LayerNorm2d  # noqa: E402
from lhg_jax.util import interop  # noqa: E402


class Step(nn.Module):
    """Adds what is given to the state, and improves what comes last twice."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, -2.0, 3.0]))

    def forward(self, state, given, same, other):
        state = torch.tanh(self.scale * state + given)
        return state, same + state, other * state


class Network(nn.Module):
    """Two loops with different steps, the second over what the first has improved."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Step(), Step()
        self.second.scale.data.mul_(-1)

    def forward(self, x_TC):
        states, same, other = fold("one", self.first, x_TC[0] * 0, (x_TC, 2 * x_TC, 3 * x_TC))
        _, same, other = fold("two", self.second, states[-1], (states, same, other))
        return same, other


def norms() -> nn.Module:
    """Weights that are equal to each other, as those of dead or new layers are."""
    return nn.Sequential(LayerNorm2d(4), nn.Conv2d(4, 4, 3, padding=1), LayerNorm2d(4))


def exported(module: nn.Module, x, outputs: tuple[str, ...], loops: dict, path) -> Export:
    module = module.eval().requires_grad_(False)
    stage = Export(module, {"x": x}, outputs, {}, "here", "none", loops=loops)
    write_onnx(stage, path)
    return stage


def test_two_loops_equal_pytorch(tmp_path):
    import onnx

    net, row = Network(), torch.randn(3)
    names = ("state", "given", "same", "other")
    loops = {
        name: (step, dict.fromkeys(names, row))
        for name, step in zip(("one", "two"), net.children(), strict=True)
    }
    stage = exported(net, torch.randn(5, 3), ("same", "other"), loops, tmp_path / "loops.onnx")
    assert compare(stage, tmp_path / "loops.onnx") < 1e-6
    nodes = [node.op_type for node in onnx.load(tmp_path / "loops.onnx").graph.node]
    assert nodes.count("Scan") == 2 and "Tanh" not in nodes  # a loop, not copies of its step


def test_equal_weights_are_all_there(tmp_path):
    stage = exported(norms(), torch.randn(2, 4, 8, 8), ("y",), {}, tmp_path / "norms.onnx")
    assert compare(stage, tmp_path / "norms.onnx") < 1e-5
    assert list(interop.load(tmp_path / "norms.onnx").inputs) == ["x"]

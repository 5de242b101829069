"""Official checkpoints: tensors only, every name, shape and value checked."""

import pathlib

import pytest

from lhg_jax.util.errors import UserError

torch = pytest.importorskip("torch")
from lhg_exporters.checkpoints import load_strict, read_state  # noqa: E402


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = network().state_dict()
    return {
        name: torch.rand(x.shape, generator=generator) if x.is_floating_point() else x
        for name, x in shapes.items()
    }


@pytest.mark.parametrize("nesting", [(), ("state_dict",), ("net", "params")])
def test_state_is_found_and_loaded(nesting, tmp_path):
    held: dict = {f"module.{name}": tensor for name, tensor in state().items()}
    for key in reversed(nesting):
        held = {key: held, "epoch": 3}
    torch.save(held, tmp_path / "w.pth")
    module = network()
    load_strict(module, read_state(tmp_path / "w.pth", *nesting), "w.pth")
    assert not module.training
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, state()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.bias"), "missing: 0.bias"),
        (lambda s: s.update(more=torch.zeros(1)), "unknown: more"),
        (lambda s: s.update({"0.weight": torch.zeros(4, 5)}), r"0.weight \(4, 5\) instead of \(4, 3\)"),
        (lambda s: s["1.running_var"].fill_(float("nan")), "not finite: 1.running_var"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    broken = state()
    change(broken)
    with pytest.raises(UserError, match=f"w.pth: not weights of Sequential .*{message}"):
        load_strict(network(), broken, "w.pth")


class Evil:
    """Unpickling it would touch a file."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_pickles_with_code_are_refused_and_not_run(tmp_path):
    torch.save({"state_dict": state(), "x": Evil(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        read_state(tmp_path / "evil.pth", "state_dict")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"plain text", b"something else", b"PK\x03\x04 broken"])
def test_damaged_files_are_refused(content, tmp_path):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"w.pth: "):
        read_state(tmp_path / "w.pth")
    with pytest.raises(UserError, match="no such file"):
        read_state(tmp_path / "none.pth")

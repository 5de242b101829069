"""3DFaceShop's official files: what is read, what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from faceshop_weights import random_generator  # noqa: E402

from lhg_exporters.faceshop.checkpoint import load_generator  # noqa: E402
from lhg_jax.util.errors import UserError  # noqa: E402


@pytest.fixture
def official(tmp_path):
    """`generator.pth` of a small generator, and the path of an `ema.pth` beside it."""
    torch.save(random_generator(1).state_dict(), tmp_path / "generator.pth")
    return tmp_path / "generator.pth", tmp_path / "ema.pth"


def averages(seed: int) -> list:
    return [parameter.data for _, parameter in random_generator(seed).named_parameters()]


def test_averages_replace_parameters_and_no_buffers(official):
    weights, ema = official
    torch.save({"decay": 0.999, "shadow_params": averages(2), "collected_params": averages(3)}, ema)
    read, first, averaged = load_generator(weights), random_generator(1), random_generator(2)
    for name, tensor in read.named_parameters():
        assert torch.equal(tensor, averaged.get_parameter(name)), name
    for name, tensor in read.named_buffers():
        assert torch.equal(tensor, first.get_buffer(name)), name
    assert not read.training and not any(tensor.requires_grad for tensor in read.parameters())


def test_a_tuned_generator_has_no_averages(official, tmp_path):
    import safetensors.torch

    _, ema = official
    torch.save({"shadow_params": averages(2)}, ema)
    safetensors.torch.save_file(random_generator(4).state_dict(), tmp_path / "tuned.safetensors")
    read = load_generator(tmp_path / "tuned.safetensors")
    assert torch.equal(read.decoder.mask_head.weight, random_generator(4).decoder.mask_head.weight)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"shadow_params": averages(2)[1:]}, "averages, but the generator has"),
        ({"shadow_params": averages(2)[::-1]}, r"average 0 of shape .* cannot be encoder.synthesis.b4.const"),
        ({"shadow_params": [x / 0 for x in averages(2)]}, "average 0 .* which is finite"),
        ({"decay": 0.9}, "no list of tensors under shadow_params"),
    ],
)
def test_averages_that_do_not_fit_are_refused(held, message, official):
    weights, ema = official
    torch.save(held, ema)
    with pytest.raises(UserError, match=message):
        load_generator(weights)


def test_other_weights_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not a generator of 3DFaceShop"):
        load_generator(tmp_path / "other.pth")
    state = random_generator().state_dict()
    state.pop("decoder.mask_head.bias")
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(UserError, match=r"missing: decoder\.mask_head\.bias"):
        load_generator(tmp_path / "short.pth")


def test_pickled_vaes_are_refused_without_running_them(tmp_path, monkeypatch):
    """A whole module, pickled under the name that the official VAEs have."""
    import sys
    import types

    module = types.ModuleType("vaes.vaes")
    module.VAE = type("VAE", (torch.nn.Module,), {"__module__": "vaes.vaes"})
    monkeypatch.setitem(sys.modules, "vaes", types.ModuleType("vaes"))
    monkeypatch.setitem(sys.modules, "vaes.vaes", module)
    torch.save(module.VAE(), tmp_path / "14000_vae_id.pth")
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"a VAE of 3DFaceShop, a pickled Python object .* refused"):
        load_generator(tmp_path / "14000_vae_id.pth")
    assert "vaes" not in sys.modules


def test_damaged_files_are_one_line(tmp_path):
    (tmp_path / "generator.pth").write_bytes(np.random.default_rng(0).bytes(200))
    with pytest.raises(UserError, match="not a PyTorch checkpoint"):
        load_generator(tmp_path / "generator.pth")
    with pytest.raises(UserError, match="no such file"):
        load_generator(tmp_path / "missing.pth")

"""Window attention of RVRT against a loop over windows and tokens."""

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from lhg_exporters.rvrt import video_swin as module  # noqa: E402
from lhg_exporters.rvrt.video_swin import Refinement, SwinLayer  # noqa: E402

WIDTH = 12


def random_layer(depth: int, shifted: bool) -> SwinLayer:
    torch.manual_seed(depth + 2 * shifted)
    layer = SwinLayer(WIDTH, depth, shifted).eval().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.normal_(0, 0.5)
    return layer


def by_hand(layer: SwinLayer, x_THWC: np.ndarray, forbidden: float = -100.0) -> np.ndarray:
    """Attention of one clip that is as deep as the windows; tokens are looked up where they came from."""
    T, H, W, C = x_THWC.shape
    shift, e = layer.shift, C // 6
    rows, columns = -(-H // 8) * 8, -(-W // 8) * 8
    padded = np.zeros((T, rows, columns, C))
    padded[:, :H, :W] = x_THWC
    weight, bias = (p.numpy() for p in (layer.attn.qkv_self.weight, layer.attn.qkv_self.bias))
    qkv = (padded @ weight.T + bias).reshape(T, rows, columns, 3, 6, e)
    table = layer.attn.relative_position_bias_table.numpy()
    out = np.zeros_like(padded)

    def side(place: int, size: int) -> int:
        """Which piece of the rolled axis a place belongs to."""
        return int(place >= size - 8) + int(place >= size - 4) if shift else 0

    for top in range(0, rows, 8):
        for left in range(0, columns, 8):
            window = [(d, a, b) for d in range(T) for a in range(8) for b in range(8)]
            rolled = [(top + a, left + b) for _, a, b in window]
            real = [
                (d, (y + shift) % rows, (x + shift) % columns)
                for (d, _, _), (y, x) in zip(window, rolled, strict=True)
            ]
            q, k, v = (np.array([qkv[(*place, i)] for place in real]) for i in range(3))
            logit = np.einsum("ihe,jhe->hij", q, k) / math.sqrt(e)
            for i, (di, ai, bi) in enumerate(window):
                for j, (dj, aj, bj) in enumerate(window):
                    logit[:, i, j] += table[(di - dj + T - 1) * 225 + (ai - aj + 7) * 15 + bi - bj + 7]
                    labels = [(side(y, rows), side(x, columns)) for y, x in (rolled[i], rolled[j])]
                    logit[:, i, j] += forbidden * (labels[0] != labels[1])
            attention = np.exp(logit - logit.max(-1, keepdims=True))
            attention /= attention.sum(-1, keepdims=True)
            mixed = np.einsum("hij,jhe->ihe", attention, v).reshape(-1, C)
            for place, value in zip(real, mixed, strict=True):
                out[place] = value
    return out[:, :H, :W] @ layer.attn.proj.weight.numpy().T + layer.attn.proj.bias.numpy()


@pytest.mark.parametrize(("depth", "shifted"), [(1, False), (1, True), (2, True)])
def test_attention_by_hand(depth, shifted):
    layer = random_layer(depth, shifted)
    x = np.random.default_rng(0).normal(size=(depth, 10, 13, WIDTH))
    found = layer.attend(torch.from_numpy(x.astype(np.float32))[None])[0].numpy()
    np.testing.assert_allclose(found, by_hand(layer, x), atol=1e-4)


def test_norms_come_first_and_what_fills_up_windows_is_not_normed():
    layer = random_layer(1, True)
    x = torch.randn(1, 1, 10, 13, WIDTH)
    attended = by_hand(layer, layer.norm1(x)[0].numpy())
    y = x + torch.from_numpy(attended.astype(np.float32))
    torch.testing.assert_close(layer(x), y + layer.mlp(layer.norm2(y)), atol=1e-4, rtol=1e-4)


def test_the_mask_matters_here():
    layer = random_layer(1, True)
    x = np.random.default_rng(0).normal(size=(1, 10, 13, WIDTH))
    assert np.abs(by_hand(layer, x) - by_hand(layer, x, forbidden=0.0)).max() > 0.1


def test_frames_of_one_layer_deep_windows_do_not_mix():
    layer = random_layer(1, True)
    x = torch.randn(1, 4, 9, 9, WIDTH)
    for t in range(4):
        torch.testing.assert_close(layer(x[:, t : t + 1])[:, 0], layer(x)[:, t], atol=1e-5, rtol=1e-5)


def test_refinement_has_norms_at_both_ends_and_no_skip():
    torch.manual_seed(0)
    refinement = Refinement(24, WIDTH, groups=2, count=1, depth=1).eval().requires_grad_(False)
    refinement.main["1"].weight.normal_(0, 0.2)
    x = torch.randn(1, 2, 24, 9, 10)
    y = refinement(x)
    assert y.shape == (1, 2, WIDTH, 9, 10)
    torch.testing.assert_close(y.mean(2), torch.zeros(1, 2, 9, 10), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(2, unbiased=False), torch.ones(1, 2, 9, 10), atol=1e-2, rtol=0)
    larger = copy.deepcopy(refinement)  # the first norm hides how large the convolution's results are
    larger.main["1"].weight.mul_(3)
    larger.main["1"].bias.mul_(3)
    torch.testing.assert_close(larger(x), y, atol=1e-3, rtol=1e-3)
    # Groups cut the channels in two: the first half of the output's channels sees the first 12 of the input.
    conv = refinement.main["1"]
    changed = x.clone()
    changed[:, :, 12:] += 1
    assert torch.equal(conv(changed)[:, :, :6], conv(x)[:, :, :6])
    assert module.HEADS == 6 and WIDTH % module.HEADS == 0

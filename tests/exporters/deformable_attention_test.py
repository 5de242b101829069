"""RVRT's deformable attention against recordings and a loop over pixels that knows no grid sample."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from lhg_exporters.rvrt import deformable_attention as module  # noqa: E402
from lhg_exporters.rvrt.deformable_attention import deformable_attention  # noqa: E402
from lhg_exporters.rvrt.flow_warp import warp  # noqa: E402

# Ten times the original's difference between float32 and float64, relative to the largest value.
TOLERANCE = {"y": 5e-6, "grad_q": 8e-6, "grad_kv": 4.5e-6, "grad_offset": 1e-4}  # the last: golden/README.md


@pytest.mark.parametrize("case", ["a", "b_oob"])
def test_values_and_gradients_equal_recording(case, shared):
    arrays = np.load(shared / f"golden/rvrt_deform_attn.{case}.npz")
    q, kv, offset = (
        torch.from_numpy(arrays[f"in_{name}"]).requires_grad_() for name in ("q", "kv", "offset")
    )
    groups, heads = int(arrays["in_deformable_groups"]), int(arrays["in_heads"])
    frames = q.transpose(0, 1)
    split = offset.reshape(1, 2, 2, groups, 9, 2, *q.shape[-2:])
    y = deformable_attention(frames, kv, split, heads).transpose(0, 1)
    (y * torch.from_numpy(arrays["in_out_weight"])).sum().backward()
    for name, found in (
        ("y", y.detach()),
        ("grad_q", q.grad),
        ("grad_kv", kv.grad),
        ("grad_offset", offset.grad),
    ):
        want = arrays[f"out_{name}"]
        assert np.abs(found.numpy() - want).max() <= TOLERANCE[name] * np.abs(want).max(), name


def bilinear(image_HW: np.ndarray, y: float, x: float) -> float:
    """Neighbours outside the image are 0."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < image_HW.shape[0] and 0 <= column < image_HW.shape[1]:
            total += image_HW[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def brute_force(q, kv, offset, heads: int, wrong: str = "") -> np.ndarray:
    """The operator, index by index; `wrong` takes one of its plausible wrong readings instead."""
    _, T, C, H, W = q.shape
    groups, e = offset.shape[3], C // heads
    out = np.zeros_like(q)
    for t, m, h, w in np.ndindex(T, heads, H, W):
        logits, values = [], []
        for n in range(T):
            source = kv[0, n if wrong == "slots" else (n + t) % T]
            for k in range(9):
                key, value = np.zeros(e), np.zeros(e)
                for d in range(e):
                    channel = m * e + d
                    for into, at in ((key, channel), (value, C + channel)):
                        group = (channel * groups // C) if wrong == "groups" else at * groups // (2 * C)
                        dy, dx = offset[0, t, n, group, k, :, h, w]
                        if wrong == "axes":
                            dy, dx = dx, dy
                        taps = 0 if wrong == "taps" else 1
                        into[d] = bilinear(
                            source[at], h + taps * (k // 3 - 1) + dy, w + taps * (k % 3 - 1) + dx
                        )
                if wrong == "masked" and not (key.any() or value.any()):
                    continue
                logits.append(q[0, t, m * e : (m + 1) * e, h, w] @ key / math.sqrt(e))
                values.append(value)
        weight = np.exp(logits - np.max(logits))
        if wrong == "softmax":  # over the taps of each slot by itself
            weight = weight.reshape(T, 9) / weight.reshape(T, 9).sum(1, keepdims=True) / T
        out[0, t, m * e : (m + 1) * e, h, w] = weight.ravel() @ np.array(values) / weight.sum()
    return out


@pytest.fixture(scope="module")
def operands():
    rng = np.random.default_rng(0)
    offset = rng.normal(size=(1, 2, 2, 4, 9, 2, 3, 5)) * 2  # far enough to leave the image
    return rng.normal(size=(1, 2, 8, 3, 5)), rng.normal(size=(1, 2, 16, 3, 5)), offset


def test_equals_a_loop_over_pixels(operands):
    found = deformable_attention(*map(torch.from_numpy, operands), 4).numpy()
    np.testing.assert_allclose(found, brute_force(*operands, 4), atol=1e-9)


@pytest.mark.parametrize("wrong", ["slots", "groups", "axes", "taps", "softmax", "masked"])
def test_wrong_readings_differ(operands, wrong):
    found = deformable_attention(*map(torch.from_numpy, operands), 4).numpy()
    assert np.abs(found - brute_force(*operands, 4, wrong)).max() > 0.05


def test_blocks_of_rows_do_not_matter(operands, monkeypatch):
    whole = deformable_attention(*map(torch.from_numpy, operands), 4)
    monkeypatch.setattr(module, "QUERY_ROWS", 2)
    torch.testing.assert_close(deformable_attention(*map(torch.from_numpy, operands), 4), whole)


def test_guided_attention_with_no_residue_follows_the_flow():
    torch.manual_seed(0)
    attention = module.GuidedDeformableAttention(12).eval().requires_grad_(False)
    for parameter in attention.parameters():
        parameter.normal_(0, 0.2)
    last = attention.conv_offset[-1]
    last.weight.zero_()
    last.bias.zero_()
    q, k, v = torch.randn(3, 1, 2, 12, 6, 7).unbind()
    same, other = torch.randn(2, 1, 2, 2, 6, 7).unbind()
    _, improved_same, improved_other = attention(q, k, v, same, other)
    torch.testing.assert_close(improved_same, same, atol=1e-5, rtol=0)  # x stays x, y stays y
    torch.testing.assert_close(improved_other, other, atol=1e-5, rtol=0)

    last.bias[0::2] = 0.5  # y of every tap and group
    _, improved_same, _ = attention(q, k, v, same, other)
    step = 10 * math.tanh(0.5)
    torch.testing.assert_close(improved_same[:, :, 1], same[:, :, 1] + step, atol=1e-4, rtol=0)
    torch.testing.assert_close(improved_same[:, :, 0], same[:, :, 0], atol=1e-4, rtol=0)


def test_operands_of_the_operator(monkeypatch):
    """Widths, the order of keys and values, and where each of the 432 channels of the residue goes."""
    torch.manual_seed(2)
    attention = module.GuidedDeformableAttention(12).eval().requires_grad_(False)
    for parameter in attention.parameters():
        parameter.normal_(0, 0.2)
    attention.conv_offset[-1].weight.zero_()
    seen = []

    def spy(*operands):
        seen.append(operands)
        return deformable_attention(*operands)

    monkeypatch.setattr(module, "deformable_attention", spy)
    q, k, v = torch.randn(3, 1, 2, 12, 6, 7).unbind()
    same, other = torch.randn(2, 1, 2, 2, 6, 7).unbind()
    state, *_ = attention(q, k, v, same, other)
    (query, both, offset, heads), C = seen[0], 24  # twice as wide as the features
    pixel = np.s_[0, 1, :, 2, 3]
    torch.testing.assert_close(query[pixel], attention.proj_q["1"](q[pixel]))
    torch.testing.assert_close(both[pixel][:C], attention.proj_k["1"](k[pixel]))
    torch.testing.assert_close(both[pixel][C:], attention.proj_v["1"](v[pixel]))
    assert heads == 12
    residue = 10 * torch.tanh(attention.conv_offset[-1].bias)
    for n, g, tap, axis in ((0, 0, 0, 0), (0, 0, 0, 1), (0, 3, 5, 1), (1, 0, 0, 0), (1, 11, 8, 1)):
        flow = (same, other)[n][0, 1, 1 - axis, 2, 3]  # offsets are (y, x), flows (x, y)
        want = residue[216 * n + 18 * g + 2 * tap + axis] + flow
        torch.testing.assert_close(offset[0, 1, n, g, tap, axis, 2, 3], want)
    z = attention.proj["1"](deformable_attention(query, both, offset, heads)[pixel])
    torch.testing.assert_close(state[pixel], z + attention.mlp["1"](z), atol=1e-5, rtol=1e-5)


def test_gelu_is_the_exact_one():
    mlp, x = module.Mlp(1).requires_grad_(False), torch.linspace(-4, 4, 65)[:, None]
    for layer, weight in ((mlp.fc1, [[1.0], [0.0]]), (mlp.fc2, [[1.0, 0.0]])):
        layer.weight[:], layer.bias[:] = torch.tensor(weight), 0.0
    want = x * (1 + torch.erf(x / math.sqrt(2))) / 2
    torch.testing.assert_close(mlp(x), want, atol=1e-6, rtol=0)


def test_guide_is_the_state_warped_and_the_other_frame_warped():
    torch.manual_seed(1)
    attention = module.GuidedDeformableAttention(12).eval()
    seen = []
    attention.conv_offset.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    q, k, v = torch.randn(3, 1, 2, 12, 6, 7).unbind()
    same, other = torch.randn(2, 1, 2, 2, 6, 7).unbind()
    with torch.inference_mode():
        attention(q, k, v, same, other)
    for t in range(2):
        want = [q[:, t], warp(v[:, t], same[:, t]), warp(v[:, 1 - t], other[:, t]), same[:, t], other[:, t]]
        torch.testing.assert_close(seen[0][:, t], torch.cat(want, dim=1))


def test_warp_reads_pixels_exactly_and_zeros_outside():
    image = torch.randn(1, 2, 5, 6)
    flow = torch.zeros(1, 2, 5, 6)
    flow[:, 0], flow[:, 1] = 1.0, -2.0
    found = warp(image, flow)
    torch.testing.assert_close(found[:, :, 2:, :5], image[:, :, :3, 1:], atol=1e-5, rtol=0)
    assert not found[:, :, 0].any() and found[:, :, :, 5].abs().max() < 1e-5
    border = warp(image, flow, padding="border")
    torch.testing.assert_close(border[:, :, 0, :5], image[:, :, 0, 1:], atol=1e-5, rtol=0)

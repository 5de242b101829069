"""Guided deformable attention, RVRT's alignment of one clip of two frames with the one before.

Liang et al., *Recurrent Video Restoration Transformer with Guided Deformable Attention*, NeurIPS 2022
(arXiv 2206.02146), section 3.2; the operator is the arithmetic of its CUDA kernel, in grid samples.
B videos, T = 2 frames of a clip, n = 2 frames that each of them attends to, G groups, K = 9 taps, H x W
pixels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters.rvrt import gathered_attention
from lhg_exporters.rvrt.flow_warp import pixel_grid, sample, sizes, warp

CLIP = 2  # frames
HEADS, GROUPS = 12, 12
KERNEL = 3
TAPS = KERNEL**2
MAX_RESIDUE = 10.0  # pixels that an offset may leave the flow
OFFSET_WIDTH = 64
SLOPE = 0.1
QUERY_ROWS = 16  # attended at a time: samples need 9 times the memory of the keys and values they come from


def deformable_attention(
    q_BTCHW: Float[Tensor, "batch frame channel height width"],
    kv_BTDHW: Float[Tensor, "batch frame both height width"],
    offset_BTnGK2HW: Float[Tensor, "batch frame slot group tap 2 height width"],
    heads: int,
) -> Float[Tensor, "batch frame channel height width"]:
    """Attention of each pixel to T x 9 bilinear samples of its clip's keys and values.

    Args:
      q_BTCHW: queries; C divisible by `heads`.
      kv_BTDHW: keys, then values, D = 2 C. Groups run over both together: the first half of the groups
        moves keys, the second values, so that a key and its value come from different places.
      offset_BTnGK2HW: (y, x) in pixels, added to the 3 x 3 neighbourhood. Slot n of frame t looks at frame
        (n + t) mod T. What lies outside the image is 0, and takes part in the softmax with logit 0.
      heads: each has C / heads neighbouring channels.
    """
    _, T, _, G, *_ = sizes(offset_BTnGK2HW)
    B, _, D, H, W = sizes(kv_BTDHW)
    turned = [torch.cat([kv_BTDHW[:, t:], kv_BTDHW[:, :t]], dim=1) for t in range(T)]
    source_NCHW = torch.stack(turned, dim=1).reshape(B * T * T * G, D // G, H, W)
    # onnxruntime's samples are slow, PyTorch's are not; tests hold both forms to the recordings.
    kernel = gathered_attention.attend if torch.onnx.is_in_onnx_export() else attend
    blocks = []
    for top in range(0, H, QUERY_ROWS):
        rows = slice(top, min(top + QUERY_ROWS, H))
        at_BTnGK2hW = offset_BTnGK2HW[..., rows, :].flip(5) + neighbourhood(H, W, q_BTCHW)[:, :, rows]
        blocks.append(kernel(q_BTCHW[..., rows, :], source_NCHW, at_BTnGK2hW, heads))
    return torch.cat(blocks, dim=3)


def neighbourhood(rows: int, columns: int, like: Tensor) -> Float[Tensor, "9 2 rows columns"]:
    """(x, y) of the 3 x 3 pixels around every pixel, rows of the neighbourhood first."""
    tap_K2 = pixel_grid(KERNEL, KERNEL, like).flatten(1).T - KERNEL // 2
    return tap_K2[:, :, None, None] + pixel_grid(rows, columns, like)


def attend(q_BTChW: Tensor, source_NCHW: Tensor, at_BTnGK2hW: Tensor, heads: int) -> Tensor:
    """Deformable attention of a block of rows; `at` holds positions (x, y) in the whole source."""
    B, T, C, h, W = sizes(q_BTChW)
    N, e = sizes(source_NCHW)[0], C // heads
    at_N2rW = at_BTnGK2hW.reshape(N, TAPS, 2, h, W).transpose(1, 2).reshape(N, 2, TAPS * h, W)
    sampled = sample(source_NCHW, at_N2rW).reshape(B * T, T, 2, heads, e, TAPS, h, W)
    key, value = sampled[:, :, 0], sampled[:, :, 1]
    query = q_BTChW.reshape(B * T, 1, heads, e, 1, h, W) * e**-0.5
    logit = (query * key).sum(dim=3).transpose(1, 2)  # [BT, heads, n, taps, h, W]
    weight = logit.flatten(2, 3).softmax(dim=2).reshape(sizes(logit)).transpose(1, 2)
    return (weight[:, :, :, None] * value).sum(dim=(1, 4)).reshape(B, T, C, h, W)


class FrameConv(nn.Module):
    """A convolution of each frame by itself; its kernel is kept with a depth of 1, as in the checkpoint."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width_out, width_in // groups, 1, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(width_out))
        self.stride, self.groups = stride, groups

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to another number of channels."""
        weight = self.weight[:, :, 0]
        x_NCHW = functional.conv2d(
            x_BTCHW.flatten(0, 1), weight, self.bias, self.stride, weight.shape[-1] // 2, 1, self.groups
        )
        return x_NCHW.reshape(*sizes(x_BTCHW)[:2], *sizes(x_NCHW)[1:])


class Mlp(nn.Module):
    """Two layers over the last axis, twice as wide in between."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return self.fc2(functional.gelu(self.fc1(x)))


class GuidedDeformableAttention(nn.Module):
    """Brings the features of the previous clip to where the current one needs them."""

    def __init__(self, width: int):
        super().__init__()
        self.proj_q, self.proj_k, self.proj_v = (
            nn.ModuleDict({"1": nn.Linear(width, 2 * width)}) for _ in range(3)
        )
        self.proj = nn.ModuleDict({"1": nn.Linear(2 * width, width)})
        self.mlp = nn.ModuleDict({"1": Mlp(width)})
        layers: list[nn.Module] = [FrameConv(3 * width + 4, OFFSET_WIDTH, 1), nn.LeakyReLU(SLOPE)]
        for _ in range(4):
            layers += [FrameConv(OFFSET_WIDTH, OFFSET_WIDTH, 3), nn.LeakyReLU(SLOPE)]
        self.conv_offset = nn.Sequential(*layers, FrameConv(OFFSET_WIDTH, CLIP * GROUPS * TAPS * 2, 1))

    def forward(
        self, q_BTCHW: Tensor, k_BTCHW: Tensor, v_BTCHW: Tensor, same_BT2HW: Tensor, other_BT2HW: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Aligns a clip.

        Args:
          q_BTCHW: features of this clip.
          k_BTCHW: features of the previous clip.
          v_BTCHW: state of the previous clip, which is what moves.
          same_BT2HW: flow (x, y) from each frame to the frame of its own place in the previous clip.
          other_BT2HW: flow from each frame to the other frame of the previous clip.

        Returns:
          the aligned state [B, 2, C, H, W], and both flows as the offsets have improved them.
        """
        same_state, other_state = warp_clip(v_BTCHW, same_BT2HW), warp_clip(v_BTCHW.flip(1), other_BT2HW)
        guide = torch.cat([q_BTCHW, same_state, other_state, same_BT2HW, other_BT2HW], dim=2)
        B, T, _, H, W = sizes(guide)
        residue = MAX_RESIDUE * torch.tanh(self.conv_offset(guide))
        flow_BTn2HW = torch.stack([same_BT2HW, other_BT2HW], dim=2).flip(3)  # offsets are (y, x)
        offset = residue.reshape(B, T, CLIP, GROUPS, TAPS, 2, H, W) + flow_BTn2HW[:, :, :, None, None]
        q, k, v = (
            per_pixel(projection["1"], x_BTCHW)
            for projection, x_BTCHW in (
                (self.proj_q, q_BTCHW),
                (self.proj_k, k_BTCHW),
                (self.proj_v, v_BTCHW),
            )
        )
        y_BTCHW = deformable_attention(q, torch.cat([k, v], dim=2), offset, HEADS)
        z_BTHWC = self.proj["1"](y_BTCHW.permute(0, 1, 3, 4, 2))
        z_BTHWC = z_BTHWC + self.mlp["1"](z_BTHWC)
        improved = offset.mean(dim=(3, 4)).flip(3)
        return z_BTHWC.permute(0, 1, 4, 2, 3), improved[:, :, 0], improved[:, :, 1]


def warp_clip(x_BTCHW: Tensor, flow_BT2HW: Tensor) -> Tensor:
    """Each frame read where its flow points."""
    return warp(x_BTCHW.flatten(0, 1), flow_BT2HW.flatten(0, 1)).reshape(sizes(x_BTCHW))


def per_pixel(linear: nn.Module, x_BTCHW: Tensor) -> Tensor:
    """A linear layer over the channels."""
    return linear(x_BTCHW.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)

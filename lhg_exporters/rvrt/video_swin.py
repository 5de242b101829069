"""Groups of Swin layers over windows of a clip, RVRT's refinement of features.

Liu et al., *Video Swin Transformer*, CVPR 2022 (arXiv 2106.13230), as used in RVRT (arXiv 2206.02146).
B videos, T frames, H x W pixels, C channels, M windows, N tokens of a window.
"""

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters.rvrt.deformable_attention import FrameConv, Mlp
from lhg_exporters.rvrt.flow_warp import sizes

SIDE = 8  # pixels of a window
SHIFT = SIDE // 2  # of the windows of every second layer
HEADS = 6
FORBIDDEN = -100.0  # added to logits between tokens that the shift has made neighbours


def relative_index(depth: int) -> Tensor:
    """[N, N] rows of the bias table: for query i and key j, by their difference in frame, row and column."""
    axes = [torch.arange(size) for size in (depth, SIDE, SIDE)]
    place_N3 = torch.cartesian_prod(*axes)
    frame, row, column = (place_N3[:, None] - place_N3[None]).unbind(-1)
    span = 2 * SIDE - 1
    return ((frame + depth - 1) * span + row + SIDE - 1) * span + column + SIDE - 1


def windows(x_BTHWC: Tensor, depth: int) -> Tensor:
    """[B, T, H, W, C] to [M, N, C], tokens ordered by frame, row, column."""
    B, T, H, W, C = sizes(x_BTHWC)
    x = x_BTHWC.reshape(B, T // depth, depth, H // SIDE, SIDE, W // SIDE, SIDE, C)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, depth * SIDE * SIDE, C)


def unwindows(x_MNC: Tensor, depth: int, shape: tuple[int, ...]) -> Tensor:
    """The inverse of `windows`; `shape` is [B, T, H, W]."""
    B, T, H, W = shape
    x = x_MNC.reshape(B, T // depth, H // SIDE, W // SIDE, depth, SIDE, SIDE, -1)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(B, T, H, W, -1)


@functools.lru_cache(maxsize=8)
def shift_mask(rows: int, columns: int, depth: int) -> Float[Tensor, "window token token"]:
    """FORBIDDEN between tokens of one shifted window that come from different sides of the image."""
    label_1HW1 = 3 * _regions(rows)[:, None] + _regions(columns)[None]
    label_MN = windows(label_1HW1.expand(1, depth, rows, columns)[..., None], depth)[..., 0]
    return FORBIDDEN * (label_MN[:, :, None] != label_MN[:, None, :]).float()


def _regions(length: int) -> Tensor:
    """0 up to the last window, 1 for its first half, 2 for its second, which was rolled in from the start."""
    place = torch.arange(length)
    return (place >= length - SIDE).long() + (place >= length - SHIFT).long()


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a bias for relative positions."""

    relative_position_index: Tensor

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * depth - 1) * (2 * SIDE - 1) ** 2, HEADS)
        )
        self.register_buffer("relative_position_index", relative_index(depth))
        self.qkv_self, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_MNC: Tensor, mask_MNN: Tensor | None) -> Tensor:
        """Same shape; the mask is that of one frame pair and repeats over the rest."""
        M, N, C = sizes(x_MNC)
        q, k, v = self.qkv_self(x_MNC).reshape(M, N, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        logit = (q * (C // HEADS) ** -0.5) @ k.transpose(2, 3) + self.bias()
        if mask_MNN is not None:
            by_clip = logit.reshape(-1, mask_MNN.shape[0], HEADS, N, N) + mask_MNN[:, None]
            logit = by_clip.reshape(M, HEADS, N, N)
        return self.proj((logit.softmax(dim=-1) @ v).transpose(1, 2).reshape(M, N, C))

    def bias(self) -> Tensor:
        """[heads, N, N]."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class SwinLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); every second layer has its windows shifted.

    Windows shift along the image only: a branch sees two frames at a time, which is a window's depth.
    """

    def __init__(self, width: int, depth: int, shifted: bool):
        super().__init__()
        self.depth, self.shift = depth, SHIFT if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = WindowAttention(width, depth), Mlp(width)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """Same shape."""
        x_BTHWC = x_BTHWC + self.attend(self.norm1(x_BTHWC))
        return x_BTHWC + self.mlp(self.norm2(x_BTHWC))

    def attend(self, x_BTHWC: Tensor) -> Tensor:
        """Window attention. Zeros that fill up the last windows are tokens like others, not masked."""
        _, _, H, W, _ = sizes(x_BTHWC)
        x_BTHWC = functional.pad(x_BTHWC, (0, 0, 0, -W % SIDE, 0, -H % SIDE))
        padded = sizes(x_BTHWC)[:4]
        mask = None
        if self.shift:
            x_BTHWC = x_BTHWC.roll((-self.shift, -self.shift), (2, 3))
            mask = shift_mask(padded[2], padded[3], self.depth).to(x_BTHWC)
        x_BTHWC = unwindows(self.attn(windows(x_BTHWC, self.depth), mask), self.depth, padded)
        return x_BTHWC.roll((self.shift, self.shift), (2, 3))[:, :, :H, :W]


class ResidualGroup(nn.Module):
    """The layers of a group, under the checkpoint's name."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.blocks = nn.Sequential(SwinLayer(width, depth, False), SwinLayer(width, depth, True))


class SwinGroup(nn.Module):
    """x + linear(two Swin layers(x)) (RSTB)."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.residual_group, self.linear = ResidualGroup(width, depth), nn.Linear(width, width)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """Same shape."""
        return x_BTHWC + self.linear(self.residual_group.blocks(x_BTHWC))


class Refinement(nn.Module):
    """Convolution, norm, Swin groups, norm, without a skip around them (RSTB with input convolution)."""

    def __init__(self, width_in: int, width: int, groups: int, count: int, depth: int):
        super().__init__()
        self.main = nn.ModuleDict(
            {
                "1": FrameConv(width_in, width, 3, groups=groups),
                "3": nn.LayerNorm(width),
                "5": nn.Sequential(*(SwinGroup(width, depth) for _ in range(count))),
                "7": nn.LayerNorm(width),
            }
        )

    def forward(
        self, x_BTCHW: Float[Tensor, "batch frame channel height width"]
    ) -> Float[Tensor, "batch frame channels height width"]:
        """[B, T, width_in, H, W] to [B, T, width, H, W]; T is a multiple of the windows' depth."""
        x_BTHWC = self.main["1"](x_BTCHW).permute(0, 1, 3, 4, 2)
        for name in ("3", "5", "7"):
            x_BTHWC = self.main[name](x_BTHWC)
        return x_BTHWC.permute(0, 1, 4, 2, 3)

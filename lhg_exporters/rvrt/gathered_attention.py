"""Deformable attention for ONNX: rows gathered and multiplied, in place of bilinear samples.

On a CPU onnxruntime's GridSample takes 3.5 times as long as PyTorch's and was half of RVRT's time. Attention
is linear in keys and values, so logits are interpolated instead of keys, and the four neighbours of a value
take part with the attention's weight times their share of the sample. No sample is ever written.

B videos, T = n frames of a clip, G groups in all, g = G / 2 of keys as of values, m heads in each, K = 9 taps
of 4 neighbours, P pixels; a row is the channels c = m e of one pixel of one group.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lhg_exporters.rvrt.flow_warp import sizes


def attend(q_BTChW: Tensor, source_NcHW: Tensor, at_BTnGK2hW: Tensor, heads: int) -> Tensor:
    """What `deformable_attention.attend` gives, [B, T, C, h, W]; g divides `heads`.

    Args:
      q_BTChW: queries of a block of rows.
      source_NcHW: [B T n G, c, H, W], where keys (first half of G) and values (second half) are read.
      at_BTnGK2hW: positions (x, y) in pixels of the source.
      heads: of all groups together.
    """
    B, T, C, h, W = sizes(q_BTChW)
    n, G, K = sizes(at_BTnGK2hW)[2:5]
    g, N, P = G // 2, B * T, h * W
    m = heads // g
    e, c = C // heads, C // g
    index, share = neighbours(at_BTnGK2hW, sizes(source_NcHW)[2:])
    index, share = index.reshape(N, n, 2, g, P, 4 * K), share.reshape(N, n, 2, g, P, K, 4)
    key, value = (gather(source_NcHW, index[:, :, i]) for i in range(2))
    # One product for the m heads of a group: each has the others' channels zeroed.
    own_cm = torch.eye(m).repeat_interleave(e, dim=0).to(q_BTChW)
    query = q_BTChW.reshape(N, 1, g, c, P).transpose(3, 4)[..., None] * (e**-0.5 * own_cm)
    logit = ((key @ query).reshape(N, n, g, P, K, 4, m) * share[:, :, 0, ..., None]).sum(dim=5)
    by_query = logit.permute(0, 2, 3, 5, 1, 4).reshape(N, g, P, m, n * K)
    weight = by_query.softmax(dim=-1).reshape(N, g, P, m, n, K).permute(0, 4, 1, 2, 3, 5)
    shares = weight[..., None] * share[:, :, 1, :, :, None]
    mixed = (shares.reshape(N, n, g, P, m, 4 * K) @ value).sum(dim=1)
    y_NgPc = (mixed * own_cm.T).sum(dim=3)
    return y_NgPc.transpose(2, 3).reshape(B, T, C, h, W)


def gather(source_NcHW: Tensor, index: Tensor) -> Tensor:
    """Rows of the source with a border of zeros, numbered through all images: [..., c] for an index [...]."""
    rows_Rc = functional.pad(source_NcHW, (1, 1, 1, 1)).permute(0, 2, 3, 1).flatten(0, 2)
    return rows_Rc.index_select(0, index.reshape(-1)).reshape(*sizes(index), -1)


def neighbours(at_BTnGK2hW: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Numbers of the rows, as `gather` takes them, around each position, and the share of each.

    Both [B, T, n, G, P, K, 4]; `shape` is that of the source without the border. Beyond it all is zero.
    """
    H, W = shape
    x, y = at_BTnGK2hW.permute(0, 1, 2, 3, 6, 7, 4, 5).flatten(4, 5).unbind(-1)
    x, y = x.clamp(-1, W), y.clamp(-1, H)
    left, top = x.floor().clamp(max=W - 1), y.floor().clamp(max=H - 1)
    right_share, lower_share = x - left, y - top
    across = torch.stack([1 - right_share, right_share], dim=-1)
    down = torch.stack([1 - lower_share, lower_share], dim=-1)
    share = (down[..., None] * across[..., None, :]).flatten(-2)
    images = torch.arange(at_BTnGK2hW.shape[:4].numel(), device=x.device).reshape(at_BTnGK2hW.shape[:4])
    first = (images[..., None, None] * (H + 2) + top.long() + 1) * (W + 2) + left.long() + 1
    return first[..., None] + torch.tensor([0, 1, W + 2, W + 3], device=x.device), share

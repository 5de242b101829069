"""A volume sampled where a field of positions points: eight gathered corners and their weighted sum.

`torch.nn.functional.grid_sample` on a volume becomes a 5-D GridSample in ONNX, which TensorRT, OpenVINO and
onnxruntime's CUDA provider before 2026 do not have. Gathered rows run everywhere.
"""

import functools
import itertools
import operator
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def lattice(sizes: Sequence[int], like: Tensor) -> Float[Tensor, "depth height width 3"]:
    """Positions (x, y, z) of the cells of a volume of these sizes (depth, height, width).

    The centres of its corner cells are at -1 and 1; type and device are those of `like`.
    """
    z, y, x = (_steps(size, like) for size in sizes)
    return torch.stack(torch.broadcast_tensors(x[None, None, :], y[None, :, None], z[:, None, None]), dim=-1)


def _steps(size: int, like: Tensor) -> Tensor:
    return 2 * torch.arange(size, dtype=like.dtype, device=like.device) / (size - 1) - 1


def sample(
    volume_BCDHW: Float[Tensor, "batch channel depth height width"],
    at_BNZYX3: Float[Tensor, "batch copies z y x 3"],
) -> Float[Tensor, "batch copies channel z y x"]:
    """Trilinear samples, zero outside the volume, -1 and 1 at the outer faces of its border cells.

    The lattice has -1 and 1 at the cells' centres, so reading a volume at its own lattice does not give it
    back: it zooms by size / (size - 1). The original does so, and its weights were trained with it.
    """
    channels, *sizes = (int(size) for size in volume_BCDHW.shape[1:])  # numbers, also while a graph is traced
    rows_BVC = volume_BCDHW.flatten(2).transpose(1, 2).reshape(-1, channels)
    batch = torch.arange(volume_BCDHW.shape[0], device=volume_BCDHW.device).reshape(-1, 1, 1, 1, 1)
    pixels = [((at_BNZYX3[..., axis] + 1) * size - 1) / 2 for axis, size in enumerate(reversed(sizes))]
    corners = [
        _corner(rows_BVC, batch, pixels, sizes, steps) for steps in itertools.product((0, 1), repeat=3)
    ]
    return functools.reduce(operator.add, corners).permute(0, 1, 5, 2, 3, 4)


def _corner(
    rows_VC: Tensor, batch: Tensor, pixels: list[Tensor], sizes: list[int], steps: tuple[int, ...]
) -> Float[Tensor, "batch copies z y x channel"]:
    """What the corner at `steps` (0 or 1 along x, y, z) of each position's cell adds to its sample."""
    (x, y, z), weights = (pixel.floor() + step for pixel, step in zip(pixels, steps, strict=True)), []
    for pixel, cell, size in zip(pixels, (x, y, z), reversed(sizes), strict=True):
        weights.append((1 - (pixel - cell).abs()) * ((cell >= 0) & (cell < size)).to(pixel.dtype))
    depth, height, width = sizes
    x, y, z = (cell.clamp(0, size - 1).long() for cell, size in ((x, width), (y, height), (z, depth)))
    index = ((batch * depth + z) * height + y) * width + x
    return rows_VC[index] * (weights[0] * weights[1] * weights[2])[..., None]

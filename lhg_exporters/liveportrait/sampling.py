"""A volume sampled where a field of positions points: eight gathered corners and their weighted sum.

`torch.nn.functional.grid_sample` on a volume becomes a 5-D GridSample in ONNX, which TensorRT, OpenVINO and
onnxruntime's CUDA provider before 2026 do not have. Gathered rows run everywhere.
"""

import itertools
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
    batch, channels, *sizes = volume_BCDHW.shape
    rows_BVC = volume_BCDHW.flatten(2).transpose(1, 2).reshape(-1, channels)
    first = torch.arange(batch, device=volume_BCDHW.device).reshape(-1, 1, 1, 1, 1) * (
        sizes[0] * sizes[1] * sizes[2]
    )
    pixels = [((at_BNZYX3[..., axis] + 1) * size - 1) / 2 for axis, size in enumerate(reversed(sizes))]
    floors = [pixel.floor() for pixel in pixels]
    total = torch.zeros((), dtype=volume_BCDHW.dtype, device=volume_BCDHW.device)
    for corner in itertools.product((0, 1), repeat=3):  # steps in x, y, z
        index, weight = first, torch.ones((), dtype=total.dtype, device=total.device)
        for pixel, floor, step, size, stride in zip(
            pixels, floors, corner, reversed(sizes), (1, sizes[2], sizes[1] * sizes[2]), strict=True
        ):
            cell = floor + step
            near = (1 - (pixel - cell).abs()) * ((cell >= 0) & (cell < size)).to(pixel.dtype)
            weight = weight * near
            index = index + cell.clamp(0, size - 1).long() * stride
        total = total + rows_BVC[index] * weight[..., None]
    return total.movedim(-1, 2)

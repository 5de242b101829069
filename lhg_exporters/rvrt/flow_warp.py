"""Sampling images at real-valued pixel positions, the one operation under all of RVRT's motion."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def sizes(x: Tensor) -> tuple[int, ...]:
    """The shape in plain integers, also while a graph is traced, where arithmetic on shapes is traced too."""
    return tuple(int(size) for size in x.shape)


def pixel_grid(rows: int, columns: int, like: Tensor) -> Float[Tensor, "2 rows columns"]:
    """The x and the y of every pixel."""
    y_H = torch.arange(rows, dtype=like.dtype, device=like.device)
    x_W = torch.arange(columns, dtype=like.dtype, device=like.device)
    y_HW, x_HW = torch.meshgrid(y_H, x_W, indexing="ij")
    return torch.stack([x_HW, y_HW])


def sample(
    image_NCHW: Float[Tensor, "n channel height width"],
    at_N2hw: Float[Tensor, "n 2 rows columns"],
    padding: str = "zeros",
) -> Float[Tensor, "n channel rows columns"]:
    """Bilinear values at positions (x, y) in pixels; integers are pixel centres.

    `padding` says what lies outside the image: "zeros", where a neighbour outside counts 0, or "border".
    """
    height, width = sizes(image_NCHW)[2:]
    size_211 = torch.tensor([width - 1, height - 1], dtype=at_N2hw.dtype, device=at_N2hw.device)[
        :, None, None
    ]
    unit_Nhw2 = (at_N2hw * (2 / size_211) - 1).permute(0, 2, 3, 1)
    return functional.grid_sample(image_NCHW, unit_Nhw2, padding_mode=padding, align_corners=True)


def warp(
    image_NCHW: Float[Tensor, "n channel height width"],
    flow_N2HW: Float[Tensor, "n 2 height width"],
    padding: str = "zeros",
) -> Float[Tensor, "n channel height width"]:
    """The image read at each pixel's own place plus its flow (x, y in pixels)."""
    rows, columns = sizes(flow_N2HW)[2:]
    return sample(image_NCHW, pixel_grid(rows, columns, flow_N2HW) + flow_N2HW, padding)

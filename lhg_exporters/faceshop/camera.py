"""3DFaceShop's camera: on a unit sphere around the head, looking at its middle; one ray a pixel.

World: x right, y up, the face looks along +z, one unit is ten of Deep3DFaceRecon's (decimetres).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

FIELD_OF_VIEW = math.radians(12.6)  # full angle between the outermost pixel centres
_FARTHEST = 1e-5  # radians of pitch left to the poles


def pixel_grid(size: int) -> Float[Tensor, "rays 2"]:
    """x (left to right) and y (up) in [-1, 1] of each pixel's centre, row by row from the top."""
    steps = torch.linspace(-1.0, 1.0, size)
    y, x = torch.meshgrid(-steps, steps, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def camera_to_world(
    pose: Float[Tensor, "batch 2"],
) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3"]]:
    """Rotation (columns right, up, back) and place of a camera at `pose` = (pitch, yaw), radians.

    The front is (pi/2, pi/2); less pitch is seen from above, more yaw from the -x side.
    """
    pitch, yaw = pose[:, 0].clamp(_FARTHEST, math.pi - _FARTHEST), pose[:, 1]
    sin_pitch = torch.sin(pitch)
    place = torch.stack([sin_pitch * torch.cos(yaw), torch.cos(pitch), sin_pitch * torch.sin(yaw)], dim=1)
    back = _unit(place)
    zero = torch.zeros_like(back[:, 0])
    right = _unit(torch.stack([back[:, 2], zero, -back[:, 0]], dim=1))  # (0, 1, 0) x back
    up = torch.linalg.cross(back, right)
    return torch.stack([right, up, back], dim=2), place


def cast_rays(
    pixels: Float[Tensor, "rays 2"], pose: Float[Tensor, "batch 2"]
) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch rays 3"]]:
    """Origin and unit directions, in the world, of the rays through `pixels` (of `pixel_grid`)."""
    rotation, place = camera_to_world(pose)
    depth = torch.full_like(pixels[:, :1], -1.0 / math.tan(FIELD_OF_VIEW / 2))
    local = _unit(torch.cat([pixels, depth], dim=1))
    return place, local @ rotation.transpose(1, 2)


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum(dim=-1, keepdim=True).sqrt()

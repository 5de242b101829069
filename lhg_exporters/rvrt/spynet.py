"""SpyNet, optical flow from coarse to fine, as RVRT carries it in its checkpoint.

Ranjan & Black, *Optical Flow Estimation using a Spatial Pyramid Network*, CVPR 2017 (arXiv 1611.00850).
N image pairs, H x W pixels.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters.rvrt.flow_warp import sizes, warp

LEVELS = 6
MULTIPLE = 2 ** (LEVELS - 1)  # to which images are resized, so that every halving is whole
WIDTHS = (8, 32, 64, 32, 16, 2)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Level(nn.Module):
    """Five 7x7 convolutions that correct the flow at one resolution."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(WIDTHS):
            layers += [nn.Conv2d(width_in, width_out, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])  # the flow itself may be negative

    def forward(self, ref_N3HW: Tensor, supp_N3HW: Tensor, flow_N2HW: Tensor) -> Tensor:
        """The corrected flow."""
        warped_N3HW = warp(supp_N3HW, flow_N2HW, padding="border")
        return self.basic_module(torch.cat([ref_N3HW, warped_N3HW, flow_N2HW], dim=1)) + flow_N2HW


class SpyNet(nn.Module):
    """Flow on the grid of `ref` that fetches `supp`."""

    mean: Tensor
    std: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[None, :, None, None])
        self.basic_module = nn.ModuleList(Level() for _ in range(LEVELS))

    def forward(
        self, ref_N3HW: Float[Tensor, "n 3 height width"], supp_N3HW: Float[Tensor, "n 3 height width"]
    ) -> Float[Tensor, "n 2 height width"]:
        """Flow of RGB images in [0, 1], (x, y) in pixels.

        Images are resized, not padded, to multiples of 32. The reference cannot take sides of 32 or less;
        starting from zero flow at the coarsest level gives the same and can.
        """
        height, width = sizes(ref_N3HW)[2:]
        size = multiple(height), multiple(width)
        refs, supps = self.pyramid(ref_N3HW, size), self.pyramid(supp_N3HW, size)
        flow_N2HW = torch.zeros_like(refs[0][:, :2])
        for level, (network, ref, supp) in enumerate(zip(self.basic_module, refs, supps, strict=True)):
            if level:
                flow_N2HW = 2 * resize(flow_N2HW, sizes(ref)[2:], align_corners=True)
            flow_N2HW = network(ref, supp, flow_N2HW)
        scale_211 = torch.tensor([width / size[1], height / size[0]], dtype=flow_N2HW.dtype)[:, None, None]
        return resize(flow_N2HW, (height, width)) * scale_211.to(flow_N2HW.device)

    def pyramid(self, image_N3HW: Tensor, size: tuple[int, ...]) -> list[Tensor]:
        """Normalised images of halving size, the coarsest first."""
        levels = [(resize(image_N3HW, size) - self.mean) / self.std]
        for _ in range(LEVELS - 1):
            levels.append(functional.avg_pool2d(levels[-1], 2))
        return levels[::-1]


def multiple(side: int) -> int:
    """The next side whose halvings are whole."""
    return -(-side // MULTIPLE) * MULTIPLE


def resize(image_NCHW: Tensor, size: tuple[int, ...], align_corners: bool = False) -> Tensor:
    """Bilinear; corners of pixels are aligned by default, centres of the corner pixels if asked for."""
    return functional.interpolate(image_NCHW, size=size, mode="bilinear", align_corners=align_corners)

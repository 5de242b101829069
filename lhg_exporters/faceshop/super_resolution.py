"""3DFaceShop's super-resolution: 32 features a ray to RGB of four times the size (residual StyleGAN2)."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters.faceshop.layers import SynthesisLayer, ToRGB, UpsamplingLayer, enlarge

_HALF_POWER = math.sqrt(0.5)  # of each of the two branches that are added


class Skip(nn.Module):
    """The branch around a block: a 1 x 1 convolution of unit-variance weights, doubled in size."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.register_buffer("resample_filter", torch.empty(4, 4))

    def forward(self, x: Float[Tensor, "batch inputs half half"]) -> Float[Tensor, "batch outputs size size"]:
        """`x` mixed across channels and doubled."""
        return enlarge(F.conv2d(x, self.weight / math.sqrt(x.shape[1])), self.resample_filter)


class ResidualBlock(nn.Module):
    """Two layers and the branch around them; takes two rows of styles."""

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.register_buffer("resample_filter", torch.empty(4, 4))
        self.conv0 = UpsamplingLayer(inputs, outputs, size)
        self.conv1 = SynthesisLayer(outputs, outputs, size)
        self.skip = Skip(inputs, outputs)

    def forward(
        self, x: Float[Tensor, "batch inputs half half"], ws: Float[Tensor, "batch rows 512"]
    ) -> Float[Tensor, "batch outputs size size"]:
        """Features of twice the size."""
        y = self.skip(x) * _HALF_POWER
        return y + self.conv1(self.conv0(x, ws[:, 0]), ws[:, 1], _HALF_POWER)


class LastBlock(ResidualBlock):
    """A residual block that ends in an image; takes three rows of styles."""

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__(inputs, outputs, size)
        del self.skip  # comes after `torgb` in the official order of tensors
        self.torgb = ToRGB(outputs, 3)
        self.skip = Skip(inputs, outputs)

    def forward(
        self, x: Float[Tensor, "batch inputs half half"], ws: Float[Tensor, "batch rows 512"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """RGB, nominally in [-1, 1]."""
        return self.torgb(super().forward(x, ws), ws[:, 2])


class SuperResolution(nn.Module):
    """Two blocks, styled by the first four rows of w."""

    def __init__(self, inputs: int, width: int, image_size: int):
        super().__init__()
        self.block0 = ResidualBlock(inputs, width, image_size // 2)
        self.block1 = LastBlock(width, width, image_size)

    def forward(
        self, features: Float[Tensor, "batch channels rays rays"], ws: Float[Tensor, "batch rows 512"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """RGB, nominally in [-1, 1] but not bounded."""
        return self.block1(self.block0(features, ws[:, 0:2]), ws[:, 1:4])

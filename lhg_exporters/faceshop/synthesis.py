"""3DFaceShop's synthesis network: styles to three feature planes of 32 channels (StyleGAN2 with skips)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters.faceshop.layers import SynthesisLayer, ToRGB, UpsamplingLayer, enlarge

PLANE_CHANNELS = 96  # three planes of 32
_FIRST = 4  # pixels a side of the learned constant


class FirstBlock(nn.Module):
    """The learned constant, one layer, and the first image."""

    def __init__(self, channels: int):
        super().__init__()
        self.const = nn.Parameter(torch.empty(channels, _FIRST, _FIRST))
        self.register_buffer("resample_filter", torch.empty(4, 4))
        self.conv1 = SynthesisLayer(channels, channels, _FIRST)
        self.torgb = ToRGB(channels, PLANE_CHANNELS)

    def forward(self, ws: Float[Tensor, "batch rows 512"]) -> tuple[Tensor, Tensor]:
        """Features and image; takes rows 0 and 1."""
        x = self.const.expand(ws.shape[0], -1, -1, -1)
        x = self.conv1(x, ws[:, 0])
        return x, self.torgb(x, ws[:, 1])


class Block(nn.Module):
    """Doubles features and image, and adds what this size has to say to the image."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.register_buffer("resample_filter", torch.empty(4, 4))
        self.conv0 = UpsamplingLayer(inputs, outputs, size)
        self.conv1 = SynthesisLayer(outputs, outputs, size)
        self.torgb = ToRGB(outputs, PLANE_CHANNELS)

    def forward(
        self,
        x: Float[Tensor, "batch inputs half half"],
        image: Float[Tensor, "batch 96 half half"],
        ws: Float[Tensor, "batch 3 512"],
    ) -> tuple[Tensor, Tensor]:
        """Features and image of twice the size."""
        x = self.conv0(x, ws[:, 0])
        x = self.conv1(x, ws[:, 1])
        return x, enlarge(image, self.resample_filter) + self.torgb(x, ws[:, 2])


class Synthesis(nn.Module):
    """Blocks `b4`, `b8`... up to the size of the planes; `channels` maps a block's size to its width."""

    def __init__(self, channels: dict[int, int]):
        super().__init__()
        self.sizes = sorted(channels)
        self.b4 = FirstBlock(channels[_FIRST])
        for half, size in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            self.add_module(f"b{size}", Block(channels[half], channels[size], size))

    def forward(self, ws: Float[Tensor, "batch rows 512"]) -> Float[Tensor, "batch 96 size size"]:
        """The planes xz, xy, yz (32 channels each). A block's image shares its row with the next block."""
        x, image = self.b4(ws)
        for k, size in enumerate(self.sizes[1:], start=1):
            x, image = self.get_submodule(f"b{size}")(x, image, ws[:, 2 * k - 1 : 2 * k + 2])
        return image

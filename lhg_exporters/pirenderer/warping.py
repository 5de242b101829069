"""PIRenderer's warping network: a flow for a portrait and a style, and the portrait warped by it.

Ren et al., *PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering*, ICCV 2021
(arXiv 2109.08379). Norms stand before convolutions here. B images, C channels, H x W pixels, D = 256
entries of z.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters.pirenderer.norms import SLOPE, AdaIN, LayerNorm2d, activate

WIDTHS = (32, 64, 128, 256, 256, 256)  # of the encoder, from full resolution to 1/32


class EncoderBlock(nn.Module):
    """Halves the resolution."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.norm_0, self.norm_1 = AdaIN(width_in), AdaIN(width_out)
        self.conv_0 = nn.Conv2d(width_in, width_out, 4, stride=2, padding=1)
        self.conv_1 = nn.Conv2d(width_out, width_out, 3, padding=1)

    def forward(self, x_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """No residual."""
        x_BCHW = self.conv_0(activate(self.norm_0(x_BCHW, z_BD)))
        return self.conv_1(activate(self.norm_1(x_BCHW, z_BD)))


def doubling(width_in: int, width_out: int) -> nn.ConvTranspose2d:
    """A transposed convolution to exactly twice the resolution."""
    return nn.ConvTranspose2d(width_in, width_out, 3, stride=2, padding=1, output_padding=1)


class DecoderBlock(nn.Module):
    """Doubles the resolution; its shortcut has a norm and a transposed convolution of its own."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.norm_0, self.norm_1, self.norm_s = AdaIN(width_in), AdaIN(width_out), AdaIN(width_in)
        self.conv_0 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.conv_1, self.conv_s = doubling(width_out, width_out), doubling(width_in, width_out)

    def forward(self, x_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """Shortcut + main path."""
        shortcut = self.conv_s(activate(self.norm_s(x_BCHW, z_BD)))
        x_BCHW = self.conv_0(activate(self.norm_0(x_BCHW, z_BD)))
        return shortcut + self.conv_1(activate(self.norm_1(x_BCHW, z_BD)))


class HourglassEncoder(nn.Module):
    """Features of the portrait from full resolution to 1/32."""

    def __init__(self):
        super().__init__()
        self.input_layer = nn.Conv2d(3, WIDTHS[0], 7, padding=3)
        for i in range(5):
            self.add_module(f"encoder{i}", EncoderBlock(WIDTHS[i], WIDTHS[i + 1]))

    def forward(self, image_BCHW: Tensor, z_BD: Tensor) -> list[Tensor]:
        """The six maps, finest first."""
        maps = [self.input_layer(image_BCHW)]
        for i in range(5):
            maps.append(self.get_submodule(f"encoder{i}")(maps[-1], z_BD))
        return maps


class HourglassDecoder(nn.Module):
    """From 1/32 up to 1/4, where the flow is predicted; the two finest maps are not used."""

    def __init__(self):
        super().__init__()
        self.decoder4 = DecoderBlock(256, 256)
        self.decoder3 = DecoderBlock(512, 256)
        self.decoder2 = DecoderBlock(512, 128)

    def forward(self, maps: list[Tensor], z_BD: Tensor) -> Tensor:
        """[B, 256, H / 4, W / 4]; what was decoded stands before the encoder's map."""
        x_BCHW = maps[5]
        for block, skip in ((self.decoder4, 4), (self.decoder3, 3), (self.decoder2, 2)):
            x_BCHW = torch.cat([block(x_BCHW, z_BD), maps[skip]], dim=1)
        return x_BCHW


class Hourglass(nn.Module):
    """Encoder and decoder of the warping network."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = HourglassEncoder(), HourglassDecoder()

    def forward(self, image_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """[B, 256, H / 4, W / 4]."""
        return self.decoder(self.encoder(image_BCHW, z_BD), z_BD)


class Warping(nn.Module):
    """The flow from the driving frame's pixels into the portrait, and the portrait warped by it."""

    def __init__(self):
        super().__init__()
        self.hourglass = Hourglass()
        self.flow_out = nn.Sequential(LayerNorm2d(256), nn.LeakyReLU(SLOPE), nn.Conv2d(256, 2, 7, padding=3))

    def forward(self, image_BCHW: Tensor, z_BD: Tensor) -> tuple[Tensor, Tensor]:
        """(warp [B, 3, H, W], flow [B, 2, H / 4, W / 4])."""
        flow_B2HW = self.flow_out(self.hourglass(image_BCHW, z_BD))
        return warp(image_BCHW, flow_B2HW), flow_B2HW


def warp(
    image_BCHW: Float[Tensor, "batch channel height width"], flow_B2HW: Float[Tensor, "batch 2 rows columns"]
) -> Float[Tensor, "batch channel height width"]:
    """Samples the image where the flow (x, y in pixels of its own, coarser grid) points.

    The reference mixes two conventions, and the weights were trained with it: the coarse grid spans -1 to 1
    between the centres of its corner pixels, but is enlarged and read as if -1 and 1 were the image's edges.
    So zero flow is not the identity: it zooms by size / (size - 1) and fades the outer two rows and columns
    towards 0, which is grey.
    """
    rows, columns = flow_B2HW.shape[2:]
    like: dict[str, Any] = {"dtype": flow_B2HW.dtype, "device": flow_B2HW.device}
    x_W, y_H = torch.linspace(-1, 1, columns, **like), torch.linspace(-1, 1, rows, **like)
    x_BHW = x_W + flow_B2HW[:, 0] * (2 / (columns - 1))
    y_BHW = y_H[:, None] + flow_B2HW[:, 1] * (2 / (rows - 1))
    size = image_BCHW.shape[2:]
    at_B2HW = functional.interpolate(torch.stack([x_BHW, y_BHW], dim=1), size=size, mode="bilinear")
    return functional.grid_sample(image_BCHW, at_B2HW.permute(0, 2, 3, 1), align_corners=False)

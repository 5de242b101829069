"""PIRenderer's editing network: repaints a warped portrait.

Ren et al., *PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering*, ICCV 2021
(arXiv 2109.08379). Norms follow convolutions here. B images, C channels, H x W pixels, D = 256 entries of z.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters.pirenderer.norms import SLOPE, AdaIN, LayerNorm2d

WIDTHS = (64, 128, 256, 256)  # of the encoder, from full resolution to 1/8


class ConvBlock(nn.Module):
    """Convolution, norm, leaky ReLU."""

    def __init__(self, width_in: int, width_out: int, kernel: int = 3):
        super().__init__()
        conv = nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2)
        self.model = nn.Sequential(conv, LayerNorm2d(width_out), nn.LeakyReLU(SLOPE))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same resolution."""
        return self.model(x_BCHW)


class ResidualAdaIN(nn.Module):
    """x + AdaIN(conv2(x)), without an activation.

    The reference also evaluates conv1 and norm1 and drops the result. They are here because the checkpoint
    has them; nothing reads them.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = AdaIN(width), AdaIN(width)

    def forward(self, x_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """Same shape."""
        return x_BCHW + self.norm2(self.conv2(x_BCHW), z_BD)


class ResidualPair(nn.Module):
    """Two residual blocks, one after the other."""

    def __init__(self, width: int):
        super().__init__()
        self.res0, self.res1 = ResidualAdaIN(width), ResidualAdaIN(width)

    def forward(self, x_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """Same shape."""
        return self.res1(self.res0(x_BCHW, z_BD), z_BD)


class EditingEncoder(nn.Module):
    """Portrait and warped portrait to maps from full resolution to 1/8; it does not see z."""

    def __init__(self):
        super().__init__()
        self.first = ConvBlock(6, WIDTHS[0], kernel=7)
        for i in range(3):
            self.add_module(f"down{i}", ConvBlock(WIDTHS[i], WIDTHS[i + 1]))

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """The four maps, finest first."""
        maps = [self.first(images_BCHW)]
        for i in range(3):
            maps.append(functional.avg_pool2d(self.get_submodule(f"down{i}")(maps[-1]), 2))
        return maps


class EditingDecoder(nn.Module):
    """Back to full resolution: at each level residual blocks, x2, and the encoder's map added."""

    def __init__(self):
        super().__init__()
        for i in (2, 1, 0):
            self.add_module(f"res{i}", ResidualPair(WIDTHS[i + 1]))
            self.add_module(f"up{i}", ConvBlock(WIDTHS[i + 1], WIDTHS[i]))
            self.add_module(f"jump{i}", ConvBlock(WIDTHS[i], WIDTHS[i]))
        self.final = nn.ModuleDict({"model": nn.Sequential(nn.Conv2d(WIDTHS[0], 3, 7, padding=3), nn.Tanh())})

    def forward(self, maps: list[Tensor], z_BD: Tensor) -> Tensor:
        """[B, 3, H, W] in (-1, 1)."""
        x_BCHW = maps[3]
        for i in (2, 1, 0):
            x_BCHW = self.get_submodule(f"res{i}")(x_BCHW, z_BD)
            x_BCHW = self.get_submodule(f"up{i}")(
                functional.interpolate(x_BCHW, scale_factor=2, mode="nearest")
            )
            x_BCHW = x_BCHW + self.get_submodule(f"jump{i}")(maps[i])
        return self.final["model"](x_BCHW)


class Editing(nn.Module):
    """Repaints the warped portrait."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = EditingEncoder(), EditingDecoder()

    def forward(self, image_BCHW: Tensor, warp_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """[B, 3, H, W] in (-1, 1)."""
        return self.decoder(self.encoder(torch.cat([image_BCHW, warp_BCHW], dim=1)), z_BD)

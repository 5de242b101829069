"""LivePortrait's appearance extractor F: a 256-pixel crop of the portrait becomes a volume of features.

Guo et al., arXiv 2407.03168. B images, C channels, D x H x W volume. The network runs once for a portrait.
"""

import os

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.liveportrait import CHANNELS, DEPTH, LICENCE, SOURCE

SIZE = 256  # pixels a side


class ConvNorm(nn.Module):
    """A convolution, batch norm and ReLU."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(width_out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Keeps the resolution."""
        return torch.relu(self.norm(self.conv(x_BCHW)))


class Residual3d(nn.Module):
    """Two 3-D convolutions, each after its norm and ReLU, added to what came in."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm3d(width), nn.BatchNorm3d(width)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Nothing follows the sum."""
        inner = self.conv1(torch.relu(self.norm1(x_BCDHW)))
        return x_BCDHW + self.conv2(torch.relu(self.norm2(inner)))


class Appearance(nn.Module):
    """The network F."""

    def __init__(self):
        super().__init__()
        self.first = ConvNorm(3, 64)
        self.down_blocks = nn.ModuleList([ConvNorm(64, 128), ConvNorm(128, 256)])
        self.second = nn.Conv2d(256, CHANNELS * DEPTH, 1)
        self.resblocks_3d = nn.ModuleDict({f"3dr{i}": Residual3d(CHANNELS) for i in range(6)})

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Tensor:
        """Image, RGB in [0, 1] -> feature [B, 32, 16, H / 4, W / 4]; depth is the inner index of `second`."""
        x_BCHW = self.first(image)
        for block in self.down_blocks:
            x_BCHW = functional.avg_pool2d(block(x_BCHW), 2)
        x_BCDHW = self.second(x_BCHW).unflatten(1, (CHANNELS, DEPTH))
        for block in self.resblocks_3d.values():
            x_BCDHW = block(x_BCDHW)
        return x_BCDHW


def export(path: str | os.PathLike) -> Export:
    """F of `appearance_feature_extractor.pth`. Raises `UserError` for other files."""
    module = Appearance()
    load_strict(module, read_state(path), path)
    return Export(
        module=module,
        example={"image": torch.rand(2, 3, SIZE, SIZE)},
        outputs=("feature",),
        dynamic={name: {0: "batch"} for name in ("image", "feature")},
        source=SOURCE,
        licence=LICENCE,
    )

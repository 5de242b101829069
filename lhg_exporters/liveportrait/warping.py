"""LivePortrait's warping module W: the appearance volume follows the keypoints, then becomes a feature map.

Guo et al., arXiv 2407.03168; the dense motion is that of Wang et al., *One-Shot Free-View Neural
Talking-Head Synthesis*, CVPR 2021 (arXiv 2011.15126). B images, K = 21 keypoints, N = 22 motions (the first
is none), C channels, D x H x W volume.
"""

import itertools
import os

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.liveportrait import CHANNELS, DEPTH, KEYPOINTS, LICENCE, SOURCE
from lhg_exporters.liveportrait.sampling import lattice, sample

SIZE = 64  # height and width of the volume
COMPRESSED = 4  # channels in which the motions are tried out
VARIANCE = 0.01  # of the heat around a keypoint
MOTIONS = KEYPOINTS + 1
INPUT = MOTIONS * (COMPRESSED + 1)
DOWN = (INPUT, 64, 128, 256, 512, 1024)
UP = ((1024, 512), (1024, 256), (512, 128), (256, 64), (128, 32))
JOINED = UP[-1][1] + INPUT


class ConvNorm3d(nn.Module):
    """A 3-D convolution, batch norm and ReLU."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv3d(width_in, width_out, 3, padding=1)
        self.norm = nn.BatchNorm3d(width_out)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Keeps the resolution."""
        return torch.relu(self.norm(self.conv(x_BCDHW)))


class Encoder(nn.Module):
    """Halves height and width five times; the depth stays."""

    def __init__(self):
        super().__init__()
        self.down_blocks = nn.ModuleList(ConvNorm3d(a, b) for a, b in itertools.pairwise(DOWN))

    def forward(self, x_BCDHW: Tensor) -> list[Tensor]:
        """All resolutions, the input first."""
        maps = [x_BCDHW]
        for block in self.down_blocks:
            maps.append(functional.avg_pool3d(block(maps[-1]), (1, 2, 2)))
        return maps


class Decoder(nn.Module):
    """Back to the full resolution, reading the encoder's maps."""

    def __init__(self):
        super().__init__()
        self.up_blocks = nn.ModuleList(ConvNorm3d(a, b) for a, b in UP)
        self.conv = nn.Conv3d(JOINED, JOINED, 3, padding=1)
        self.norm = nn.BatchNorm3d(JOINED)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """What was decoded stands before the encoder's map."""
        x_BCDHW = maps[-1]
        for block, skip in zip(self.up_blocks, reversed(maps[:-1]), strict=True):
            grown = functional.interpolate(x_BCDHW, scale_factor=(1, 2, 2))
            x_BCDHW = torch.cat([block(grown), skip], dim=1)
        return torch.relu(self.norm(self.conv(x_BCDHW)))


class Hourglass(nn.Module):
    """Encoder and decoder of the dense motion."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """[B, 110, D, H, W] -> [B, 142, D, H, W]."""
        return self.decoder(self.encoder(x_BCDHW))


class DenseMotion(nn.Module):
    """Where each cell of the warped volume comes from, mixed from the motions of the keypoints."""

    def __init__(self):
        super().__init__()
        self.compress, self.norm = nn.Conv3d(CHANNELS, COMPRESSED, 1), nn.BatchNorm3d(COMPRESSED)
        self.hourglass = Hourglass()
        self.mask = nn.Conv3d(JOINED, MOTIONS, 7, padding=3)
        self.occlusion = nn.Conv2d(JOINED * DEPTH, 1, 7, padding=3)

    def describe(
        self, feature: Tensor, kp_driving: Tensor, kp_source: Tensor
    ) -> tuple[Float[Tensor, "batch 110 depth height width"], Float[Tensor, "batch 22 depth height width 3"]]:
        """What the hourglass sees (heat and moved appearance of each motion), and the motions themselves."""
        cells_DHW3 = lattice([int(size) for size in feature.shape[2:]], feature)  # no axis of these is free
        driving, source = (kp[:, :, None, None, None] for kp in (kp_driving, kp_source))
        moved = cells_DHW3 - driving + source
        # The size, not len(): tracing would make a constant of it, and the file take one size of batch.
        still = cells_DHW3.expand(feature.shape[0], 1, *cells_DHW3.shape)
        motions_BNDHW3 = torch.cat([still, moved], dim=1)
        heat = gaussian(cells_DHW3, driving) - gaussian(cells_DHW3, source)
        heat_BN1DHW = functional.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None]
        compressed = torch.relu(self.norm(self.compress(feature)))
        tried_BNCDHW = sample(compressed, motions_BNDHW3)
        return torch.cat([heat_BN1DHW, tried_BNCDHW], dim=2).flatten(1, 2), motions_BNDHW3

    def forward(self, feature: Tensor, kp_driving: Tensor, kp_source: Tensor) -> tuple[Tensor, Tensor]:
        """(deformation [B, D, H, W, 3], occlusion [B, 1, H, W])."""
        seen, motions_BNDHW3 = self.describe(feature, kp_driving, kp_source)
        hidden = self.hourglass(seen)
        mask_BNDHW = torch.softmax(self.mask(hidden), dim=1)
        deformation = (mask_BNDHW[..., None] * motions_BNDHW3).sum(dim=1)
        return deformation, torch.sigmoid(self.occlusion(hidden.flatten(1, 2)))


def gaussian(cells_DHW3: Tensor, centre_BK1113: Tensor) -> Float[Tensor, "batch keypoint depth height width"]:
    """Heat of a cell around each keypoint, 1 at its place."""
    return torch.exp(-(cells_DHW3 - centre_BK1113).square().sum(dim=-1) / (2 * VARIANCE))


class SameBlock(nn.Module):
    """A convolution, batch norm and a leaky ReLU (of 0.01, unlike the generator's)."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(width_out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Keeps the resolution."""
        return functional.leaky_relu(self.norm(self.conv(x_BCHW)), 0.01)


class Warping(nn.Module):
    """The network W."""

    def __init__(self):
        super().__init__()
        self.dense_motion_network = DenseMotion()
        self.third = SameBlock(CHANNELS * DEPTH, 256)
        self.fourth = nn.Conv2d(256, 256, 1)

    def forward(
        self,
        feature: Float[Tensor, "batch 32 16 height width"],
        kp_driving: Float[Tensor, "batch 21 3"],
        kp_source: Float[Tensor, "batch 21 3"],
    ) -> Float[Tensor, "batch 256 height width"]:
        """The feature map of a frame.

        Args:
          feature: of the portrait; height and width are multiples of 32 (64 is what the weights are for).
          kp_driving: keypoints of the frame to draw, in [-1, 1] of the crop.
          kp_source: keypoints of the portrait.
        """
        deformation, occlusion = self.dense_motion_network(feature, kp_driving, kp_source)
        warped = sample(feature, deformation[:, None])[:, 0].flatten(1, 2)
        return self.fourth(self.third(warped)) * occlusion


def export(path: str | os.PathLike) -> Export:
    """W of `warping_module.pth`. Raises `UserError` for other files."""
    module = Warping()
    load_strict(module, read_state(path), path)
    generator = torch.Generator().manual_seed(0)
    kp = torch.rand(2, KEYPOINTS, 3, generator=generator) - 0.5
    names = ("feature", "kp_driving", "kp_source", "warped")
    return Export(
        module=module,
        example={
            "feature": torch.randn(2, CHANNELS, DEPTH, SIZE, SIZE, generator=generator),
            "kp_driving": kp + 0.05 * torch.randn(2, KEYPOINTS, 3, generator=generator),
            "kp_source": kp,
        },
        outputs=("warped",),
        dynamic={name: {0: "batch"} for name in names},
        source=SOURCE,
        licence=LICENCE,
        tolerance=1e-3,  # a volume of noise magnifies the rounding of positions
    )

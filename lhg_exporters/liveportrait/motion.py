"""LivePortrait's motion extractor M, a ConvNeXt V2: pose, expression and keypoints of a 256-pixel crop.

Guo et al., arXiv 2407.03168; Woo et al., *ConvNeXt V2*, CVPR 2023 (arXiv 2301.00808). B images, C channels,
H x W pixels.
"""

import itertools
import os

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.liveportrait import KEYPOINTS, LICENCE, SOURCE

SIZE = 256  # pixels a side
DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
EPSILON = 1e-6  # of all layer norms
BINS = 66  # of an angle: 3 degrees each
HEADS = {
    "pitch": BINS,
    "yaw": BINS,
    "roll": BINS,
    "t": 3,
    "exp": 3 * KEYPOINTS,
    "scale": 1,
    "kp": 3 * KEYPOINTS,
}


class ChannelNorm(nn.Module):
    """Layer norm over the channels of an image."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Each pixel by itself."""
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        normal = functional.layer_norm(x_BHWC, self.weight.shape, self.weight, self.bias, EPSILON)
        return normal.permute(0, 3, 1, 2)


class GlobalResponseNorm(nn.Module):
    """Channels weighed by their norm over the sample, relative to the other channels'."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, width))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """gamma x n + beta + x, n the norm of a channel over the mean of all channels' norms."""
        norm_B11C = x_BHWC.square().sum(dim=(1, 2), keepdim=True).sqrt()
        relative = norm_B11C / (norm_B11C.mean(dim=-1, keepdim=True) + 1e-6)
        return self.gamma * (x_BHWC * relative) + self.beta + x_BHWC


class Block(nn.Module):
    """A depthwise convolution and two dense layers over the channels, added to what came in."""

    def __init__(self, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.grn = GlobalResponseNorm(4 * width)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """GELU is the exact one."""
        x_BHWC = self.norm(self.dwconv(x_BCHW).permute(0, 2, 3, 1))
        x_BHWC = self.pwconv2(self.grn(functional.gelu(self.pwconv1(x_BHWC))))
        return x_BCHW + x_BHWC.permute(0, 3, 1, 2)


class Detector(nn.Module):
    """The backbone and its linear heads; the checkpoint keeps them under this name."""

    def __init__(self):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), ChannelNorm(WIDTHS[0]))
        halvings = [
            nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, stride=2)) for a, b in itertools.pairwise(WIDTHS)
        ]
        self.downsample_layers = nn.ModuleList([stem, *halvings])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(WIDTHS, DEPTHS, strict=True)
        )
        self.norm = nn.LayerNorm(WIDTHS[-1], EPSILON)
        for name, size in HEADS.items():
            self.add_module(f"fc_{name}", nn.Linear(WIDTHS[-1], size))

    def pool(self, image_BCHW: Tensor) -> Tensor:
        """[B, 768]: what the heads read."""
        x_BCHW = image_BCHW
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x_BCHW = stage(shrink(x_BCHW))
        return self.norm(x_BCHW.mean(dim=(2, 3)))


class MotionExtractor(nn.Module):
    """The network M."""

    def __init__(self):
        super().__init__()
        self.detector = Detector()

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        """Image, RGB in [0, 1] -> the outputs of `HEADS`, in their order.

        Angles are logits over 66 bins of 3 degrees; exp and kp are 21 keypoints x (x, y, z).
        """
        pooled = self.detector.pool(image)
        return tuple(self.detector.get_submodule(f"fc_{name}")(pooled) for name in HEADS)


def export(path: str | os.PathLike) -> Export:
    """M of `motion_extractor.pth`. Raises `UserError` for other files."""
    module = MotionExtractor()
    load_strict(module, read_state(path), path)
    return Export(
        module=module,
        example={"image": torch.rand(2, 3, SIZE, SIZE)},
        outputs=tuple(HEADS),
        dynamic={name: {0: "batch"} for name in ("image", *HEADS)},
        source=SOURCE,
        licence=LICENCE,
    )

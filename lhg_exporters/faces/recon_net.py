"""ResNet-50 with seven heads (He et al. 2016; Deng et al. 2019): a face crop to Deep3DFaceRecon's 257.

Submodules are named by the keys of the released `epoch_20.pth`, entry `net_recon`.
"""

import os

import torch
from torch import Tensor, nn

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state

SIDE = 224  # of the input, pixels
# Sizes of the heads, in order: identity, expression, texture, angle, light, x and y, z.
HEADS = (80, 64, 80, 3, 27, 2, 1)
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first block
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride), 1x1, around a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 4 width, H / stride, W / stride]."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()


class ResNet50(nn.Module):
    """Features [N, 2048, 1, 1] of images [N, 3, H, W], averaged over the image."""

    def __init__(self):
        super().__init__()
        channels = 64
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for stage, (width, blocks, stride) in enumerate(STAGES, start=1):
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(Bottleneck(channels, width, stride if block == 0 else 1))
                channels = EXPANSION * width
            self.add_module(f"layer{stage}", layer)

    def forward(self, image: Tensor) -> Tensor:
        """The pooled features."""
        x = self.maxpool(self.bn1(self.conv1(image)).relu())
        for stage in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean(dim=(2, 3), keepdim=True)


class ReconNet(nn.Module):
    """RGB crops [N, 3, 224, 224] in [0, 1], not standardised, to coefficients [N, 257] as in `HEADS`."""

    def __init__(self):
        super().__init__()
        self.backbone = ResNet50()
        self.final_layers = nn.ModuleList(nn.Conv2d(EXPANSION * STAGES[-1][0], size, 1) for size in HEADS)

    def forward(self, image: Tensor) -> Tensor:
        """The coefficients."""
        features = self.backbone(image)
        return torch.cat([head(features) for head in self.final_layers], dim=1).flatten(1)


def export(path: str | os.PathLike) -> Export:
    """The network with the weights of a released `epoch_20.pth`. Raises `UserError` for other files."""
    module = ReconNet()
    load_strict(module, read_state(path, "net_recon"), path)
    return Export(
        module=module,
        example={"image": torch.rand(2, 3, SIDE, SIDE)},
        outputs=("coeff",),
        dynamic={"image": {0: "faces"}, "coeff": {0: "faces"}},
        source="Deep3DFaceRecon (Deng et al., CVPRW 2019), github.com/sicxu/Deep3DFaceRecon_pytorch",
        licence="MIT (the repository's)",
    )

"""MobileNet-V1 as 3DDFA_V2 uses it (Howard et al. 2017; Guo et al. 2020): a face crop to 62 parameters.

Submodules are named by the keys of `mb1_120x120.pth` and `mb05_120x120.pth`.
"""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.faces.tddfa_statistics import PARAMETERS, read_statistics

SIDE = 120  # of the input, pixels
# Name, channels out at width 1, stride of each depthwise-separable block.
BLOCKS = (
    ("dw2_1", 64, 1),
    ("dw2_2", 128, 2),
    ("dw3_1", 128, 1),
    ("dw3_2", 256, 2),
    ("dw4_1", 256, 1),
    ("dw4_2", 512, 2),
    *((f"dw5_{i}", 512, 1) for i in range(1, 6)),
    ("dw5_6", 1024, 2),
    ("dw6", 1024, 1),
)
STEM = 32  # channels out of the first convolution at width 1


class SeparableBlock(nn.Module):
    """A 3x3 convolution of each channel, then a 1x1 convolution across them; BN and ReLU after both."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
        self.bn_dw = nn.BatchNorm2d(inputs)
        self.conv_sep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        x = self.bn_dw(self.conv_dw(x)).relu()
        return self.bn_sep(self.conv_sep(x)).relu()


class MobileNet(nn.Module):
    """BGR crops [N, 3, 120, 120], (pixel - 127.5) / 128, to standardised parameters [N, 62].

    `width` multiplies every number of channels: 1.0 or 0.5.
    """

    def __init__(self, width: float):
        super().__init__()
        channels = int(STEM * width)
        self.conv1 = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for name, full, stride in BLOCKS:
            outputs = int(full * width)
            self.add_module(name, SeparableBlock(channels, outputs, stride))
            channels = outputs
        self.fc = nn.Linear(channels, PARAMETERS)

    def forward(self, image: Tensor) -> Tensor:
        """The parameters as the network was trained to give them: less their mean, over their std."""
        x = self.bn1(self.conv1(image)).relu()
        for name, _, _ in BLOCKS:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean(dim=(2, 3)))


class Tddfa(nn.Module):
    """`MobileNet` with the statistics [62] that turn its output into parameters of the morphable model."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: MobileNet, mean: Tensor, std: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters [N, 62], and the same standardised.

        Parameters differ in size by nine orders of magnitude. Only of standardised ones does the largest
        difference say something about all.
        """
        standardised = self.network(image)
        return standardised * self.std + self.mean, standardised


def export(path: str | os.PathLike) -> Export:
    """The network with the weights of `mb1_120x120.pth` or `mb05_120x120.pth`, and the statistics beside it.

    The second head in the file, of which only training made use, is left out. `UserError` for other files.
    """
    state = {
        name.replace("fc_param.", "fc."): tensor
        for name, tensor in read_state(path, "state_dict").items()
        if not name.startswith("fc_lm.")
    }
    first = state.get("conv1.weight")
    module = MobileNet(0.5 if first is not None and len(first) == STEM // 2 else 1.0)
    load_strict(module, state, path)
    mean, std = (torch.from_numpy(values) for values in read_statistics(Path(path).parent))
    return Export(
        module=Tddfa(module, mean, std).eval(),
        example={"image": 0.5 * torch.randn(2, 3, SIDE, SIDE)},
        outputs=("parameters", "standardised"),
        dynamic={name: {0: "faces"} for name in ("image", "parameters", "standardised")},
        source="3DDFA_V2 (Guo et al., ECCV 2020), github.com/cleardusk/3DDFA_V2",
        licence="MIT",
    )

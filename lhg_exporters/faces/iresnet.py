"""IResNet, the network of ArcFace (Deng et al. 2019): a face to an identity embedding.

Submodules are named by the keys of insightface's `backbone.pth`.
"""

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_jax.util.errors import UserError

DEPTHS = {  # blocks of the four stages
    "r18": (2, 2, 2, 2),
    "r34": (3, 4, 6, 3),
    "r50": (3, 4, 14, 3),
    "r100": (3, 13, 30, 3),
    "r200": (6, 26, 60, 6),
}
WIDTHS = (64, 128, 256, 512)
SIDE = 112  # of the input, pixels
EMBEDDING = 512


class Block(nn.Module):
    """BN before the first convolution, stride in the second, nothing after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H / stride, W / stride]."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + self.downsample(x)


class IResNet(nn.Module):
    """RGB images [N, 3, 112, 112] in [-1, 1] to embeddings [N, 512] of any norm; `depth` as in `DEPTHS`."""

    def __init__(self, depth: tuple[int, ...]):
        super().__init__()
        channels = WIDTHS[0]
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        for stage, (blocks, width) in enumerate(zip(depth, WIDTHS, strict=True), start=1):
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(Block(channels, width, 2 if block == 0 else 1))
                channels = width
            self.add_module(f"layer{stage}", layer)
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * (SIDE // 16) ** 2, EMBEDDING)
        self.features = nn.BatchNorm1d(EMBEDDING)

    def forward(self, image: Tensor) -> Tensor:
        """The embeddings."""
        x = self.prelu(self.bn1(self.conv1(image)))
        for stage in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


def export(path: str | os.PathLike) -> Export:
    """The network with the weights of a `backbone.pth`, as deep as they are; `UserError` for other files."""
    state = read_state(path)
    blocks = depth(state)
    names = {depth: name for name, depth in DEPTHS.items()}
    if blocks not in names:
        known = ", ".join(f"{name} {depth}" for name, depth in DEPTHS.items())
        raise UserError(f"{path}: not an ArcFace backbone: {blocks} blocks in its stages (known: {known})")
    module = IResNet(blocks)
    load_strict(module, state, path)
    return Export(
        module=module,
        example={"image": 2 * torch.rand(2, 3, SIDE, SIDE) - 1},
        outputs=("embedding",),
        dynamic={"image": {0: "faces"}, "embedding": {0: "faces"}},
        source=f"ArcFace {names[blocks]} (Deng et al., CVPR 2019), github.com/deepinsight/insightface",
        licence="non-commercial research only",
    )


def depth(names: Iterable[str]) -> tuple[int, ...]:
    """Blocks of each stage, from the names of a state dict's tensors."""
    blocks = {tuple(name.split(".")[:2]) for name in names if name.startswith("layer")}
    return tuple(sum(layer == f"layer{stage}" for layer, _ in blocks) for stage in range(1, len(WIDTHS) + 1))

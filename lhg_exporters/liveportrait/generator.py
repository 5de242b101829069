"""LivePortrait's generator G, a SPADE decoder: the warped feature map becomes a picture of 512 pixels.

Guo et al., arXiv 2407.03168; Park et al., *Semantic Image Synthesis with Spatially-Adaptive Normalization*,
CVPR 2019 (arXiv 1903.07291). B images, C channels, H x W pixels.
"""

import os
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.liveportrait import EPSILON, LICENCE, SOURCE

FEATURE, HIDDEN = 256, 128  # channels of the feature map, and of the layer between it and a norm's scale
WIDTH = 512
SLOPE = 0.2  # of every leaky ReLU
SIZE = 64  # pixels a side of the feature map that the weights are for


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU."""
    return functional.leaky_relu(x, SLOPE)


class Spade(nn.Module):
    """Instance norm whose scale and shift at each pixel come from the feature map."""

    def __init__(self, channels: int):
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(FEATURE, HIDDEN, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(HIDDEN, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor, feature_BCHW: Tensor) -> Tensor:
        """n (1 + gamma) + beta; the feature map is enlarged to x by repeating pixels."""
        hidden = self.mlp_shared(functional.interpolate(feature_BCHW, size=x_BCHW.shape[2:]))
        normal = functional.instance_norm(x_BCHW, eps=EPSILON)
        return normal * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)


class SpadeBlock(nn.Module):
    """Two convolutions, each after its norm, beside a shortcut of its own where the width changes."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        middle = min(width_in, width_out)
        self.norm_0, self.norm_1 = Spade(width_in), Spade(middle)
        self.conv_0 = nn.Conv2d(width_in, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, width_out, 3, padding=1)
        self.is_widening = width_in != width_out
        if self.is_widening:
            self.norm_s = Spade(width_in)
            self.conv_s = nn.Conv2d(width_in, width_out, 1, bias=False)

    def forward(self, x_BCHW: Tensor, feature_BCHW: Tensor) -> Tensor:
        """The shortcut has no activation."""
        shortcut = self.conv_s(self.norm_s(x_BCHW, feature_BCHW)) if self.is_widening else x_BCHW
        x_BCHW = self.conv_0(activate(self.norm_0(x_BCHW, feature_BCHW)))
        return shortcut + self.conv_1(activate(self.norm_1(x_BCHW, feature_BCHW)))


class Generator(nn.Module):
    """The network G, its spectral norms folded into the weights (`fold_spectral_norm`)."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Conv2d(FEATURE, WIDTH, 3, padding=1)
        for i in range(6):
            self.add_module(f"G_middle_{i}", SpadeBlock(WIDTH, WIDTH))
        self.up_0, self.up_1 = SpadeBlock(WIDTH, 256), SpadeBlock(256, 64)
        self.conv_img = nn.Sequential(nn.Conv2d(64, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, warped: Float[Tensor, "batch 256 height width"]) -> Tensor:
        """Feature map -> image [B, 3, 8 H, 8 W], RGB in (0, 1)."""
        x_BCHW = self.fc(warped)
        for i in range(6):
            x_BCHW = self.get_submodule(f"G_middle_{i}")(x_BCHW, warped)
        for block in (self.up_0, self.up_1):
            x_BCHW = block(functional.interpolate(x_BCHW, scale_factor=2), warped)
        return torch.sigmoid(self.conv_img(activate(x_BCHW)))


def fold_spectral_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they act: `weight_orig` / sigma, sigma = u . (W v) with u and v as they are stored.

    No power iteration and no singular value: the stored vectors are what the released weights were used with.
    """
    folded = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight_orig" and {f"{layer}.weight_u", f"{layer}.weight_v"} <= state.keys():
            sigma = state[f"{layer}.weight_u"] @ (tensor.flatten(1) @ state[f"{layer}.weight_v"])
            folded[f"{layer}.weight"] = tensor / sigma
        elif kind not in ("weight_u", "weight_v"):
            folded[name] = tensor
    return folded


def export(path: str | os.PathLike) -> Export:
    """G of `spade_generator.pth`. Raises `UserError` for other files."""
    module = Generator()
    load_strict(module, fold_spectral_norm(read_state(path)), path)
    return Export(
        module=module,
        example={"warped": torch.randn(1, FEATURE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))},
        outputs=("image",),
        dynamic={name: {0: "batch"} for name in ("warped", "image")},
        source=SOURCE,
        licence=LICENCE,
    )

"""3DFaceShop's decoder: the features of a point in space to its colour features, density and labels."""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters.faceshop.layers import EqualLinear

FEATURES, LABELS = 32, 19
_HIDDEN = 64


class Samples(NamedTuple):
    """What is known of points: features (the first three are RGB in [0, 1]), density >= 0, label shares."""

    features: Float[Tensor, "*points 32"]
    density: Float[Tensor, "*points"]
    labels: Float[Tensor, "*points 19"]


class Decoder(nn.Module):
    """One hidden layer and two heads; the direction of view plays no part."""

    def __init__(self):
        super().__init__()
        self.base_network = nn.Sequential(EqualLinear(FEATURES, _HIDDEN))
        self.image_head = EqualLinear(_HIDDEN, FEATURES + 1)
        self.mask_head = EqualLinear(_HIDDEN, LABELS)

    def forward(self, x: Float[Tensor, "*points 32"]) -> Samples:
        """Decodes tri-plane features. RGB may leave [0, 1] by 0.001, as in the mip-NeRF papers."""
        hidden = _softplus(self.base_network(x))
        image = self.image_head(hidden)
        colour = torch.sigmoid(image[..., :3]) * 1.002 - 0.001
        features = torch.cat([colour, image[..., 3:FEATURES]], dim=-1)
        labels = torch.softmax(self.mask_head(hidden), dim=-1)
        return Samples(features, F.softplus(image[..., FEATURES]), labels)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + e^x) to 6e-8, from operations that onnxruntime has vectorised (its own Softplus is not)."""
    return x.clamp(min=0) + torch.log(1.0 + torch.exp(-x.abs()))

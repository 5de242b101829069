"""Norms of PIRenderer's networks, which decide what a style z does to an image.

Ren et al., *PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering*, ICCV 2021
(arXiv 2109.08379). B images, C channels, H x W pixels, D = 256 entries of z.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

STYLE, HIDDEN = 256, 128  # entries of z, and of the layer between z and an AdaIN's gamma and beta
SLOPE = 0.1  # of every leaky ReLU
EPSILON = 1e-5  # added to the variance in every norm


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU."""
    return functional.leaky_relu(x, SLOPE)


def mean(x_BCHW: Tensor) -> Tensor:
    """Mean over the pixels, first along rows: partial sums keep float32 exact enough for the flow."""
    return x_BCHW.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)


class AdaIN(nn.Module):
    """Instance norm whose scale and shift come from z: n (1 + gamma(z)) + beta(z)."""

    def __init__(self, channels: int):
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(STYLE, HIDDEN), nn.ReLU())
        self.mlp_gamma = nn.Linear(HIDDEN, channels)
        self.mlp_beta = nn.Linear(HIDDEN, channels)

    def forward(self, x_BCHW: Tensor, z_BD: Tensor) -> Tensor:
        """Statistics are of each sample and channel alone, so batch mates change nothing."""
        hidden = self.mlp_shared(z_BD)
        gamma, beta = (mlp(hidden)[:, :, None, None] for mlp in (self.mlp_gamma, self.mlp_beta))
        centred = x_BCHW - mean(x_BCHW)
        return centred * ((1 + gamma) * torch.rsqrt(mean(centred**2) + EPSILON)) + beta


class LayerNorm2d(nn.Module):
    """Norm over channels and pixels of a sample together; one scale and shift for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same as group norm with one group."""
        centred = x_BCHW - mean(x_BCHW).mean(dim=1, keepdim=True)
        variance = mean(centred**2).mean(dim=1, keepdim=True)
        return centred * (self.weight * torch.rsqrt(variance + EPSILON)) + self.bias

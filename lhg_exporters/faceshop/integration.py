"""Volume integration along rays, and where along them to look (Mildenhall et al., NeRF, ECCV 2020)."""

import torch
from jaxtyping import Float
from torch import Tensor

_ENDLESS = 1e10  # length of the last step: whatever is left of the ray stays there
_LEAST_STEP = 1e-5  # of the cumulative distribution, below which a bin is taken whole


def coarse_distances(
    jitter: Float[Tensor, "*rays steps"], start: float, end: float
) -> Float[Tensor, "*rays steps"]:
    """Evenly spaced distances from the camera, each shifted by (jitter - 1/2) of the spacing.

    `jitter` is in [0, 1]; 1/2 everywhere is no shift.
    """
    steps = jitter.shape[-1]
    spacing = (end - start) / (steps - 1)
    return torch.linspace(start, end, steps, device=jitter.device) + (jitter - 0.5) * spacing


def ray_weights(
    distance: Float[Tensor, "*rays steps"], density: Float[Tensor, "*rays steps"]
) -> Float[Tensor, "*rays steps"]:
    """Part of a ray's light that comes from each sample; samples in order of distance. They sum to 1."""
    gaps = distance[..., 1:] - distance[..., :-1]
    step = torch.cat([gaps, torch.full_like(distance[..., :1], _ENDLESS)], dim=-1)
    alpha = 1.0 - torch.exp(-step * density)
    opaque = torch.log(1.0 - alpha + 1e-10)  # a sum of logarithms, since ONNX has no running product
    return alpha * torch.exp(torch.cumsum(opaque, dim=-1) - opaque)


def fine_distances(
    distance: Float[Tensor, "*rays steps"],
    weights: Float[Tensor, "*rays steps"],
    draws: Float[Tensor, "*rays fine"],
) -> Float[Tensor, "*rays fine"]:
    """Distances drawn where the light comes from: the inverse of the weights' distribution at `draws`.

    `draws` are in [0, 1). No gradient passes.
    """
    distance, weights = distance.detach(), weights.detach()
    bins = (distance[..., 1:] + distance[..., :-1]) / 2
    mass = weights[..., 1:-1] + 2e-5  # so that no bin is impossible
    cumulative = torch.cumsum(mass / mass.sum(dim=-1, keepdim=True), dim=-1)
    cumulative = torch.cat([torch.zeros_like(cumulative[..., :1]), cumulative], dim=-1)
    # The first entry that is not less; a comparison with each, since ONNX has no sorted search.
    less = cumulative[..., None, :] < draws[..., :, None]
    index = less.to(draws.dtype).sum(dim=-1).long()
    below, above = (index - 1).clamp(min=0), index.clamp(max=bins.shape[-1] - 1)
    low, high = cumulative.gather(-1, below), cumulative.gather(-1, above)
    span = high - low
    part = (draws - low) / torch.where(span < _LEAST_STEP, torch.ones_like(span), span)
    first, last = bins.gather(-1, below), bins.gather(-1, above)
    return first + part * (last - first)

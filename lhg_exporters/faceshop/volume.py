"""From tri-planes to what each ray sees: coarse and fine samples, the static volume, integration."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lhg_exporters.faceshop.decoder import Decoder, Samples
from lhg_exporters.faceshop.integration import coarse_distances, fine_distances, ray_weights
from lhg_exporters.faceshop.triplane import sample_planes

NEAR, FAR = 0.88, 1.15  # distances from the camera between which samples are taken, world units


class Rays(NamedTuple):
    """Rays of a batch of cameras: one origin each, unit directions."""

    origin: Float[Tensor, "batch 3"]
    direction: Float[Tensor, "batch rays 3"]

    def at(self, distance: Float[Tensor, "batch rays steps"]) -> Float[Tensor, "batch rays steps 3"]:
        """Points at these distances."""
        return self.origin[:, None, None] + self.direction[:, :, None] * distance[..., None]


class Static(NamedTuple):
    """The volume of a clip's first frame, and which labels are taken from it (1) and which are not (0)."""

    texels: Float[Tensor, "batch texels 32"]
    frozen: Float[Tensor, "19"]


class Seen(NamedTuple):
    """What rays see. `distance` and `weights` are of the samples in order of distance."""

    features: Float[Tensor, "batch rays 32"]
    labels: Float[Tensor, "batch rays 19"]
    depth: Float[Tensor, "batch rays"]
    distance: Float[Tensor, "batch rays steps"]
    weights: Float[Tensor, "batch rays steps"]


def sample(decoder: Decoder, texels: Tensor, rays: Rays, distance: Tensor) -> Samples:
    """The volume at distances [batch, rays, steps] along rays."""
    return decoder(sample_planes(texels, rays.at(distance)))


def look(
    decoder: Decoder,
    texels: Float[Tensor, "batch texels 32"],
    rays: Rays,
    jitter: Float[Tensor, "batch rays steps"],
    draws: Float[Tensor, "batch rays fine"] | None = None,
    static: Static | None = None,
) -> Seen:
    """What rays see of a volume.

    Args:
      decoder: the network.
      texels: the tri-planes of this frame.
      rays: their origins and directions.
      jitter: in [0, 1], shifts the coarse samples; 1/2 leaves them evenly spaced.
      draws: in [0, 1), place the fine samples; None takes only the coarse ones.
      static: where the static volume has one of the frozen labels, features and density are taken from it.
    """
    distance = coarse_distances(jitter, NEAR, FAR)
    samples = sample(decoder, texels, rays, distance)
    if draws is not None:
        fine = fine_distances(distance, ray_weights(distance, samples.density), draws)
        finer = sample(decoder, texels, rays, fine)
        distance = torch.cat([distance, fine], dim=-1)
        samples = Samples(*(torch.cat(pair, dim=2) for pair in zip(samples, finer, strict=True)))
    if static is not None:
        samples = blend(samples, sample(decoder, static.texels, rays, distance), static.frozen)
    return integrate(distance, samples)


def blend(moving: Samples, still: Samples, frozen: Float[Tensor, "19"]) -> Samples:
    """Features and density of `still` where its likeliest label is frozen; labels stay those of `moving`."""
    taken = frozen[still.labels.argmax(dim=-1)] > 0.5
    features = torch.where(taken[..., None], still.features, moving.features)
    return Samples(features, torch.where(taken, still.density, moving.density), moving.labels)


def integrate(distance: Float[Tensor, "batch rays steps"], samples: Samples) -> Seen:
    """Sums samples along rays. Only distances and densities are sorted; the weights go back instead."""
    sorted_distance, order = distance.sort(dim=-1)
    weights = ray_weights(sorted_distance, samples.density.gather(-1, order))
    in_place = weights.gather(-1, order.argsort(dim=-1))[..., None, :]
    features, labels = ((in_place @ x).squeeze(-2) for x in (samples.features, samples.labels))
    return Seen(features, labels, (weights * sorted_distance).sum(dim=-1), sorted_distance, weights)

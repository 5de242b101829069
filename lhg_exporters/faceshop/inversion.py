"""A portrait in 3DFaceShop's latent space: optimisation of what the face model does not explain.

Stage A fits z and a small offset of the camera, and then a residual of the styles as well: what z can explain
goes along with a change of expression, the residual does not. Stage B (pivotal tuning; Roich et al., TOG
2022) fits the generator's finer half to this one portrait, held near the original elsewhere. The picture is
compared over a pyramid of sizes, so that coarse shape leads; no perceptual network is needed.
"""

import copy
import dataclasses
import math
import re
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lhg_exporters.faceshop.camera import cast_rays, pixel_grid
from lhg_exporters.faceshop.generator import Generator
from lhg_exporters.faceshop.layers import STYLE
from lhg_exporters.faceshop.mapping import LATENT
from lhg_exporters.faceshop.volume import Rays, look

_RAYS_AT_ONCE = 2048  # whose samples are in memory at a time, for the gradient
_NOISE = 128  # first entries of the latent, which no tracker measures
_FINE_BLOCK = 64  # synthesis blocks from this size on are tuned


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to search.

    Attributes:
      steps: of stage A, >= 0; the first third is without the residual.
      noise_rate: Adam's learning rate in that third, at first; all rates fall to 0 along a cosine.
      rate: the same in the rest.
      tune_steps: of stage B, >= 0.
      tune_rate: its learning rate.
      samples: coarse samples of a ray, and as many fine ones.
      noise_weight: of the mean square of z.
      pose_weight: of the camera's squared offset from the tracker's pose (rad).
      residual_weight: of the mean square of the styles' residual.
      local_weight: of what tuning changes in other faces.
      seed: of those other faces.
    """

    steps: int = 400
    noise_rate: float = 0.1
    rate: float = 0.02
    tune_steps: int = 0
    tune_rate: float = 3e-4
    samples: int = 48
    noise_weight: float = 1e-4
    pose_weight: float = 1.0
    residual_weight: float = 1e-3
    local_weight: float = 0.1
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Inversion:
    """What was found; `psnr_db` compares the generator's picture with the portrait, both in [-1, 1]."""

    latent: Float[Tensor, "379"]
    residual: Float[Tensor, "rows 512"]
    pose_offset: Float[Tensor, "2"]
    generator: Generator
    psnr_db: float


class Search:
    """The unknowns of one portrait."""

    def __init__(
        self,
        generator: Generator,
        portrait: Float[Tensor, "3 size size"],
        latent: Float[Tensor, "379"],
        pose: Float[Tensor, "2"],
        settings: Settings,
    ):
        """Starts at z = 0.

        Args:
          generator: not changed; tuning works on a copy.
          portrait: RGB in [-1, 1], placed as the generator draws heads.
          latent: the tracker's coefficients over their scales; its z is ignored.
          pose: of the camera.
          settings: how to search.
        """
        self.generator, self.portrait, self.settings = generator, portrait, settings
        self.known, self.pose = latent[_NOISE:], pose
        device = latent.device
        self.noise = torch.zeros(_NOISE, device=device)
        self.residual = torch.zeros(generator.sizes.rows, STYLE, device=device)
        self.pose_offset = torch.zeros(2, device=device)

    def run(self, on_step: Callable[[], None] = lambda: None) -> Inversion:
        """Both stages; `on_step` is called after each step."""
        first = self.settings.steps // 3
        coarse, unknowns = [self.noise, self.pose_offset], [self.noise, self.pose_offset, self.residual]
        _descend(coarse, self._error, first, self.settings.noise_rate, on_step)
        _descend(unknowns, self._error, self.settings.steps - first, self.settings.rate, on_step)
        self._tune(on_step)
        with torch.no_grad():
            picture = self.draw()
        return Inversion(
            self.latent(), self.residual, self.pose_offset, self.generator, psnr_db(picture, self.portrait)
        )

    def latent(self) -> Float[Tensor, "379"]:
        """The present latent."""
        return torch.cat([self.noise, self.known])

    def draw(self) -> Float[Tensor, "3 size size"]:
        """The generator's present picture, RGB, nominally in [-1, 1]."""
        ws = self.generator.styles(self.latent()[None]) + self.residual
        return draw(self.generator, ws, self.pose + self.pose_offset, self.settings.samples)

    def _error(self) -> Float[Tensor, ""]:
        kept = self.settings.noise_weight * self.noise.square().mean()
        kept = kept + self.settings.pose_weight * self.pose_offset.square().sum()
        kept = kept + self.settings.residual_weight * self.residual.square().mean()
        return pyramid_error(self.draw(), self.portrait) + kept

    def _tune(self, on_step: Callable[[], None]) -> None:
        """Stage B: a copy of the generator, whose finer half fits the portrait and keeps other faces."""
        if not self.settings.tune_steps:
            return
        original, self.generator = self.generator, copy.deepcopy(self.generator)
        random = torch.Generator().manual_seed(self.settings.seed)

        def error() -> Float[Tensor, ""]:
            latent = torch.randn(1, LATENT, generator=random).to(self.known.device)
            with torch.no_grad():
                ws = original.styles(latent, truncation=0.7)
                want = draw(original, ws, self.pose, self.settings.samples)
            changed = draw(self.generator, ws, self.pose, self.settings.samples) - want
            return (
                pyramid_error(self.draw(), self.portrait) + self.settings.local_weight * changed.abs().mean()
            )

        parameters = fine_parameters(self.generator)
        _descend(parameters, error, self.settings.tune_steps, self.settings.tune_rate, on_step)


def _descend(
    unknowns: list[Tensor],
    error: Callable[[], Tensor],
    steps: int,
    rate: float,
    on_step: Callable[[], None],
) -> None:
    """Adam with a rate that falls along a cosine, changing `unknowns` in place."""
    optimiser = torch.optim.Adam([unknown.requires_grad_() for unknown in unknowns], lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1.0 + math.cos(math.pi * step / steps)) / 2.0
        optimiser.zero_grad()
        error().backward()
        optimiser.step()
        on_step()
    for unknown in unknowns:
        unknown.requires_grad_(False)


def fine_parameters(generator: Generator) -> list[Tensor]:
    """What tuning changes: super-resolution, decoder, images of all blocks, and the larger blocks."""

    def is_fine(name: str) -> bool:
        block = re.match(r"encoder\.synthesis\.b(\d+)\.", name)
        if block:
            return ".torgb." in name or int(block[1]) >= _FINE_BLOCK
        return name.startswith(("sr.", "decoder."))

    return [tensor for name, tensor in generator.named_parameters() if is_fine(name)]


def draw(
    generator: Generator, ws: Float[Tensor, "1 rows 512"], pose: Float[Tensor, "2"], samples: int
) -> Float[Tensor, "3 size size"]:
    """The picture of styles from one camera, differentiable; samples of few rays are in memory at a time."""
    texels = generator.texels(ws)
    origin, directions = cast_rays(pixel_grid(generator.sizes.rays).to(pose.device), pose[None])
    draws = (torch.arange(samples, device=pose.device) + 0.5) / samples

    def see(texels: Tensor, origin: Tensor, direction: Tensor) -> Tensor:
        shape = 1, direction.shape[1], samples
        jitter = torch.full(shape, 0.5, device=direction.device)
        seen = look(generator.decoder, texels, Rays(origin, direction), jitter, draws.expand(shape))
        return seen.features

    chunks = [
        checkpoint(see, texels, origin, part, use_reentrant=False)
        for part in directions.split(_RAYS_AT_ONCE, dim=1)
    ]
    return generator.image(torch.cat(chunks, dim=1), ws)[0]


def pyramid_error(
    picture: Float[Tensor, "3 size size"], portrait: Float[Tensor, "3 size size"]
) -> Float[Tensor, ""]:
    """Mean absolute and squared differences, averaged over sizes that halve down to 16 pixels."""
    errors = []
    while True:
        difference = picture - portrait
        errors.append(difference.abs().mean() + difference.square().mean())
        if picture.shape[-1] <= 16:
            return torch.stack(errors).mean()
        picture, portrait = F.avg_pool2d(picture, 2), F.avg_pool2d(portrait, 2)


def psnr_db(a: Float[Tensor, "3 size size"], b: Float[Tensor, "3 size size"]) -> float:
    """Peak signal-to-noise ratio of two pictures clipped to [-1, 1], dB."""
    error = (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean().item() / 4.0
    return -10.0 * math.log10(max(error, 1e-10))

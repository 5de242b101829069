"""3DFaceShop's generator: a latent and a camera to a portrait (Tang et al., arXiv:2209.05434).

Keys and order of the tensors are those of the official `generator.pth`. Everything runs in float32 with
constant noise, where the official code uses float16 for its larger blocks.
"""

import dataclasses
import math
import re
from collections.abc import Mapping as MappingType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters.faceshop.decoder import FEATURES, Decoder
from lhg_exporters.faceshop.mapping import Mapping
from lhg_exporters.faceshop.super_resolution import SuperResolution
from lhg_exporters.faceshop.synthesis import Synthesis
from lhg_exporters.faceshop.triplane import to_texels

FRONT = (math.pi / 2, math.pi / 2)  # pose of the camera (pitch, yaw) before the face


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a generator; `channels` maps the size of a synthesis block to its width."""

    channels: MappingType[int, int]
    image: int
    width: int  # channels of super-resolution

    @property
    def rays(self) -> int:
        """Rays a side."""
        return self.image // 4

    @property
    def rows(self) -> int:
        """Styles of a face: two for each synthesis block."""
        return 2 * len(self.channels)

    @classmethod
    def of(cls, state: MappingType[str, Tensor]) -> "Sizes":
        """Sizes that a state dict shows. Raises KeyError where the tensors that show them are missing."""
        pattern = re.compile(r"encoder\.synthesis\.b(\d+)\.conv1\.bias")
        channels = {int(found[1]): len(state[key]) for key in state if (found := pattern.fullmatch(key))}
        image = state["sr.block1.conv1.noise_const"].shape[-1]
        return cls(channels, image, len(state["sr.block1.conv1.bias"]))


class Generator(nn.Module):
    """The parts of the generator under their official names."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        synthesis = Synthesis(dict(sizes.channels))
        self.encoder = nn.ModuleDict({"synthesis": synthesis, "mapping": Mapping(sizes.rows)})
        self.decoder = Decoder()
        self.sr = SuperResolution(FEATURES, sizes.width, sizes.image)

    def styles(
        self, latent: Float[Tensor, "batch 379"], truncation: float = 1.0
    ) -> Float[Tensor, "batch rows 512"]:
        """Styles of latents, conditioned on the front pose as the official inference does."""
        pose = torch.tensor([FRONT], device=latent.device).expand(len(latent), -1)
        return self.encoder["mapping"](latent, pose, torch.tensor(truncation, device=latent.device))

    def texels(self, ws: Float[Tensor, "batch rows 512"]) -> Float[Tensor, "batch texels 32"]:
        """Tri-planes of styles, as `faceshop_triplane.to_texels` lays them out."""
        return to_texels(self.encoder["synthesis"](ws))

    def image(
        self, features: Float[Tensor, "batch rays 32"], ws: Float[Tensor, "batch rows 512"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """RGB, nominally in [-1, 1], of what all rays see."""
        side = self.sizes.rays
        return self.sr(features.transpose(1, 2).unflatten(2, (side, side)), ws)

"""3DFaceShop cut into four networks for ONNX, by how often each runs.

  mapping           latent -> styles                       once a frame, small
  planes            styles -> table of texels              once a frame
  rays              texels, camera, pixels -> features     once a frame, in chunks of rays
  super_resolution  features, styles -> image              once a frame

Between the first and the second an inversion adds its own residual to the styles.
"""

import hashlib
import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters import Export
from lhg_exporters.faceshop.camera import cast_rays, pixel_grid
from lhg_exporters.faceshop.checkpoint import averages_beside, load_generator
from lhg_exporters.faceshop.decoder import FEATURES, LABELS, Decoder
from lhg_exporters.faceshop.generator import FRONT, Generator
from lhg_exporters.faceshop.layers import STYLE
from lhg_exporters.faceshop.mapping import LATENT
from lhg_exporters.faceshop.volume import Rays, Static, look

SOURCE = "3DFaceShop (Tang et al., arXiv:2209.05434), official generator"
LICENCE = "none stated by its authors; contains StyleGAN2-ADA (NVIDIA Source Code Licence, non-commercial)"
_RAYS, _STEPS = 8, 6  # of the example


class MappingStage(nn.Module):
    """Styles of one latent, conditioned on the front pose."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.mapping = generator.encoder["mapping"]
        self.register_buffer("pose", torch.tensor([FRONT]))

    def forward(
        self, latent: Float[Tensor, "379"], truncation: Float[Tensor, ""]
    ) -> Float[Tensor, "rows 512"]:
        """One style a layer."""
        return self.mapping(latent[None], self.pose, truncation)[0]


class PlanesStage(nn.Module):
    """The tri-planes of one face."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, ws: Float[Tensor, "rows 512"]) -> Float[Tensor, "texels 32"]:
        """The table of texels."""
        return self.generator.texels(ws[None])[0]


class RaysStage(nn.Module):
    """What rays of one camera see of a moving and a still volume."""

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        texels: Float[Tensor, "texels 32"],
        still: Float[Tensor, "texels 32"],
        frozen: Float[Tensor, "19"],
        pose: Float[Tensor, "2"],
        pixels: Float[Tensor, "rays 2"],
        jitter: Float[Tensor, "rays steps"],
        draws: Float[Tensor, "rays fine"],
    ) -> tuple[Float[Tensor, "rays 32"], Float[Tensor, "rays 19"], Float[Tensor, "rays"]]:
        """Features, label shares and depth of each ray; see `faceshop_volume.look`."""
        rays = Rays(*cast_rays(pixels, pose[None]))
        static = Static(still[None], frozen)
        seen = look(self.decoder, texels[None], rays, jitter[None], draws[None], static)
        return seen.features[0], seen.labels[0], seen.depth[0]


class ImageStage(nn.Module):
    """Super-resolution of one frame."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(
        self, features: Float[Tensor, "rays 32"], ws: Float[Tensor, "rows 512"]
    ) -> Float[Tensor, "3 height width"]:
        """RGB, nominally in [-1, 1]."""
        return self.generator.image(features[None], ws[None])[0]


def mapping(weights: Path) -> Export:
    """`mapping` of the generator in `weights`."""
    module = MappingStage(load_generator(weights)).eval()
    example = {"latent": torch.randn(LATENT), "truncation": torch.tensor(1.0)}
    return Export(module, example, ("ws",), {}, _source(weights), LICENCE)


def planes(weights: Path) -> Export:
    """`planes` of the generator in `weights`."""
    generator = load_generator(weights)
    return Export(
        PlanesStage(generator).eval(), {"ws": _styles(generator)}, ("texels",), {}, _source(weights), LICENCE
    )


def rays(weights: Path) -> Export:
    """`rays` of the generator in `weights`; any number of rays and of samples."""
    generator = load_generator(weights)
    size = max(generator.sizes.channels)
    texels = torch.randn(3 * size * size, FEATURES)
    example = {
        "texels": texels,
        "still": texels.flip(0),
        "frozen": torch.ones(LABELS),
        "pose": torch.tensor(FRONT),
        "pixels": pixel_grid(_RAYS)[:_RAYS],
        # No spread: jitter keeps samples in order only within [0, 1]. Little spread: draws are within (0, 1).
        "jitter": torch.full((_RAYS, _STEPS), 0.5),
        "draws": 0.4 + 0.2 * torch.rand(_RAYS, _STEPS + 1),
    }
    dynamic = {name: {0: "rays"} for name in ("pixels", "features", "labels", "depth")}
    dynamic |= {"jitter": {0: "rays", 1: "steps"}, "draws": {0: "rays", 1: "fine"}}
    outputs = ("features", "labels", "depth")
    return Export(
        RaysStage(generator.decoder).eval(),
        example,
        outputs,
        dynamic,
        _source(weights),
        LICENCE,
        tolerance=1e-3,
    )


def super_resolution(weights: Path) -> Export:
    """`super_resolution` of the generator in `weights`."""
    generator = load_generator(weights)
    example = {"features": torch.randn(generator.sizes.rays**2, FEATURES), "ws": _styles(generator)}
    return Export(ImageStage(generator).eval(), example, ("image",), {}, _source(weights), LICENCE)


def _styles(generator: Generator) -> Float[Tensor, "rows 512"]:
    return torch.randn(generator.sizes.rows, STYLE) / math.sqrt(2.0)


def _source(weights: Path) -> str:
    averages = averages_beside(weights)
    if averages is None:
        return SOURCE
    return (
        f"{SOURCE}; running averages of ema.pth, sha256 {hashlib.sha256(averages.read_bytes()).hexdigest()}"
    )

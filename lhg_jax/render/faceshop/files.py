"""The four ONNX files of 3DFaceShop's generator as functions of numpy arrays.

`python -m lhg_exporters faceshop` makes them.
"""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.util import interop
from lhg_jax.util.errors import UserError
from lhg_jax.util.interop import ExternalNetwork

STAGES = ("mapping", "planes", "rays", "super_resolution")
STEPS = 96  # coarse samples of a ray, and as many fine ones (the official inference)
RAYS_AT_ONCE = 128  # a chunk: 100 MB of intermediate results at 96 + 96 samples; larger ones are no faster
LABELS = 19
BACKGROUND, HAIR = 0, 17  # labels, in CelebAMask-HQ's order
FROZEN = (BACKGROUND, HAIR)  # taken from the portrait's own volume in every frame

Texels = Float[np.ndarray, "texels 32"]
Styles = Float[np.ndarray, "rows 512"]


@dataclasses.dataclass(frozen=True)
class FaceGenerator:
    """The generator, and how finely it looks along a ray."""

    stages: dict[str, ExternalNetwork]
    steps: int = STEPS

    @property
    def rays(self) -> int:
        """Rays a side."""
        count = self.stages["super_resolution"].inputs["features"].shape[0]
        assert count is not None
        return round(count**0.5)

    def styles(self, latent: Float[np.ndarray, "379"]) -> Styles:
        """Styles of a latent, not truncated: a person is not to be pulled to the average face."""
        return self.stages["mapping"](latent=latent, truncation=np.array(1.0, np.float32))["ws"]

    def texels(self, ws: Styles) -> Texels:
        """The volume of styles."""
        return self.stages["planes"](ws=ws)["texels"]

    def see(
        self, texels: Texels, still: Texels, pose: Float[np.ndarray, "2"], frozen: Iterable[int] = FROZEN
    ) -> tuple[Float[np.ndarray, "rays 32"], Float[np.ndarray, "rays 19"]]:
        """Features and label shares of all rays.

        Args:
          texels: the moving volume.
          still: the still one, whose features are taken where it has a `frozen` label.
          pose: of the camera, `latent.camera_pose`.
          frozen: labels.
        """
        taken = np.zeros(LABELS, np.float32)
        taken[list(frozen)] = 1.0
        stage = bind(self.stages["rays"], texels=texels, still=still, frozen=taken, pose=pose)
        seen = interop.in_chunks(stage, RAYS_AT_ONCE, pixels=self._pixels, **self._samples)
        return seen["features"], seen["labels"]

    def image(self, features: Float[np.ndarray, "rays 32"], ws: Styles) -> Float[np.ndarray, "size size 3"]:
        """RGB in [0, 1]."""
        image = self.stages["super_resolution"](features=features, ws=ws)["image"]
        return np.clip((image.transpose(1, 2, 0) + 1.0) / 2.0, 0.0, 1.0)

    @functools.cached_property
    def _pixels(self) -> Float[np.ndarray, "rays 2"]:
        steps = np.linspace(-1.0, 1.0, self.rays, dtype=np.float32)
        x, y = np.meshgrid(steps, -steps)
        return np.stack([x, y], -1).reshape(-1, 2)

    @functools.cached_property
    def _samples(self) -> dict[str, np.ndarray]:
        """No jitter, and evenly spaced draws: the original's random ones flicker from frame to frame."""
        shape = len(self._pixels), self.steps
        draws = (np.arange(self.steps, dtype=np.float32) + 0.5) / self.steps
        return {
            "jitter": np.full(shape, 0.5, np.float32),
            "draws": np.tile(draws, (shape[0], 1)),
        }


def load_face_generator(folder: Path) -> FaceGenerator:
    """The generator in a folder. Raises `UserError` where files are missing or do not belong together."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (`python -m lhg_exporters faceshop` makes it)")
    stages = {name: load_stage(folder, name) for name in STAGES}
    if len({(stage.metadata["weights_sha256"], stage.metadata["source"]) for stage in stages.values()}) > 1:
        raise UserError(f"{folder}: its files were made from different weights")
    return FaceGenerator(stages)


def load_stage(folder: Path, name: str) -> ExternalNetwork:
    """One of `STAGES`. Raises `UserError` where it is missing or another network."""
    stage = interop.load(folder / f"{name}.onnx")
    if stage.metadata.get("stage") != f"faceshop_{name}":
        raise UserError(f"{stage.name}: not a file made by `python -m lhg_exporters faceshop`")
    return stage


def bind(stage: ExternalNetwork, **fixed: np.ndarray) -> ExternalNetwork:
    """`stage` with some inputs given for good."""
    inputs = {name: spec for name, spec in stage.inputs.items() if name not in fixed}
    return dataclasses.replace(stage, inputs=inputs, run=lambda arrays: stage.run({**arrays, **fixed}))

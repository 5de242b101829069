"""The 3DFaceShop renderer (Tang et al., arXiv:2209.05434): a portrait, inverted once, moved by Deep3D motion.

A frame's expression goes into the latent, pitch and yaw into the camera, roll and translation into the place
at which the picture is put back into the portrait. In every frame, hair and background of the volume are
those of the portrait's own volume, because a change of expression alone would make them drift.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.motion import DEEP3D, Motion, require_same_space
from lhg_jax.render.faceshop.files import BACKGROUND, FaceGenerator, load_face_generator
from lhg_jax.render.faceshop.latent import camera_pose, with_parts
from lhg_jax.render.faceshop.paste import edge_mask, head_mask, paste, place
from lhg_jax.render.faceshop.person import Person, load_person, portrait_file
from lhg_jax.util.errors import UserError

Image = UInt8[np.ndarray, "height width 3"]


def load(weights: Path | None) -> "Faceshop":
    """The renderer of `lhg_jax.render`. Raises `UserError` without weights or where they do not fit."""
    if weights is None:
        command = "`python -m lhg_exporters faceshop`"
        raise UserError(f"--renderer-weights: faceshop needs the folder made by {command}")
    return Faceshop(weights)


class Faceshop:
    """The generator in a folder, with the portraits that were inverted for it."""

    space = DEEP3D

    def __init__(self, folder: Path):
        self.folder = folder
        self.generator = load_face_generator(folder)

    def __call__(self, portrait: Image, fit: Any) -> "FaceshopRenderer":
        """The renderer of one portrait. Raises `UserError` if it was not inverted yet.

        `fit` is not needed: the inversion has kept what was measured.
        """
        path = portrait_file(self.folder, portrait)
        if not path.is_file():
            raise UserError(
                "portrait: not known to this generator yet (`python -m lhg_exporters.invert_portrait` "
                f"finds its latent once, and writes {path})"
            )
        return FaceshopRenderer(portrait, self.generator, load_person(path))


class FaceshopRenderer:
    """Renders motion in `motion.DEEP3D` on one portrait."""

    def __init__(self, portrait: Image, generator: FaceGenerator, person: Person):
        """Builds the still volume. Raises `UserError` for an inversion that belongs to another generator."""
        self.portrait, self.generator, self.person = portrait, generator, person
        rows = generator.stages["planes"].inputs["ws"].shape[0]
        if len(person.residual) != rows:
            raise UserError(
                f"portrait: inverted for a generator of {len(person.residual)} styles, not of {rows}"
            )
        self._still = generator.texels(self._styles(person.latent))
        own = np.zeros(DEEP3D.size, np.float32)
        own[DEEP3D.slice("angle")], own[DEEP3D.slice("trans")] = person.angle, person.trans
        _, labels = generator.see(self._still, self._still, self._pose(own))
        self._own_head = self._head(labels, self._to_portrait(own))

    def animate(self, motion: Motion, times_s: Float[np.ndarray, "frames"]) -> Iterator[Image]:
        """Yields one frame for each time. Raises `UserError` for motion in another space."""
        require_same_space("the motion", motion.space, "the faceshop renderer", DEEP3D)
        return (self.frame(row) for row in motion.at_times(times_s))

    def frame(self, row: Float[np.ndarray, "70"]) -> Image:
        """The portrait with the expression and pose of `row`."""
        picture, labels = self.draw(row)
        to_portrait, shape = self._to_portrait(row), self.portrait.shape[:2]
        head = np.maximum(self._own_head, self._head(labels, to_portrait))
        inside = place(edge_mask(len(picture)), to_portrait, shape)
        return paste(self.portrait, place(picture, to_portrait, shape), head * inside)

    def draw(
        self, row: Float[np.ndarray, "70"]
    ) -> tuple[Float[np.ndarray, "size size 3"], Float[np.ndarray, "rays 19"]]:
        """What the generator draws for `row` (upright, RGB in [0, 1]), and the label shares of its rays."""
        ws = self._styles(with_parts(self.person.latent, exp=row[DEEP3D.slice("exp")]))
        features, labels = self.generator.see(self.generator.texels(ws), self._still, self._pose(row))
        return self.generator.image(features, ws), labels

    def _styles(self, latent: Float[np.ndarray, "379"]) -> Float[np.ndarray, "rows 512"]:
        return self.generator.styles(latent) + self.person.residual

    def _pose(self, row: Float[np.ndarray, "70"]) -> Float[np.ndarray, "2"]:
        return camera_pose(row[DEEP3D.slice("angle")]) + self.person.pose_offset

    def _to_portrait(self, row: Float[np.ndarray, "70"]) -> Float[np.ndarray, "2 3"]:
        roll, trans = row[DEEP3D.slice("angle")][2], row[DEEP3D.slice("trans")]
        return self.person.placement.to_portrait(float(roll), trans, self._size)

    @property
    def _size(self) -> int:
        return 4 * self.generator.rays  # super-resolution

    def _head(
        self, labels: Float[np.ndarray, "rays 19"], to_portrait: Float[np.ndarray, "2 3"]
    ) -> Float[np.ndarray, "height width"]:
        """Where the head is, in the portrait's pixels."""
        side = self.generator.rays
        foreground = 1.0 - labels[:, BACKGROUND].reshape(side, side)
        return place(head_mask(foreground, self._size), to_portrait, self.portrait.shape[:2])

"""The mesh renderer: one portrait moved as a whole by landmark motion, without a generative network.

For each frame the eyes and the mouth are redrawn in the portrait's own pose (eyes_and_mouth.py), then the
person is warped as the head and the shoulders move (warp.py): the inverse of the warp is found on a coarse
grid, enlarged to pixels, and the person's layer is sampled there (bicubic) and laid over the background,
which stands still (layers.py). Where a portrait cannot be taken apart, it is warped as one sheet, and what
is near the head moves along.

At the portrait's own values the frame is the portrait, bit for bit.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.render.mesh import grid
from lhg_jax.render.mesh.eyes_and_mouth import EyesAndMouth
from lhg_jax.render.mesh.layers import Layers, blended, separate
from lhg_jax.render.mesh.warp import LAYERS, SHEET, HeadWarp, PortraitFit, PortraitHead
from lhg_jax.util.errors import UserError

SMALLEST_FACE = 12.0  # pixels between the eyes below which there is nothing to render
EYEBALL = 0.19  # its radius, 12 mm, in distances between the eyes
GAZE_KEPT = 0.5  # part of a turn of the head that the eyes undo, to stay with what they look at

Image = UInt8[np.ndarray, "height width 3"]


class MeshRenderer:
    """Renders motion in the space `motion.LANDMARK` on one portrait.

    Attributes:
      portrait: the image.
      layers: the part of it that can move, taken apart; None where that is uncertain.
      warp: how it moves.
    """

    space = LANDMARK

    def __init__(self, portrait: Image, fit: PortraitFit):
        """Precomputes all that depends only on the portrait.

        Raises `UserError` where the face is too small to be drawn.
        """
        self.portrait = portrait
        self._head = head = PortraitHead(fit)
        if head.scale < SMALLEST_FACE:
            raise UserError(
                f"portrait: {head.scale:.0f} pixels between the eyes are too few to render "
                f"(at least {SMALLEST_FACE:.0f}; give a larger picture of the face)"
            )
        height, width = portrait.shape[:2]
        self._eyes_and_mouth = EyesAndMouth(portrait, head.landmarks, head.shape, head.down)
        self._box = rows, columns = head.reach(height, width)
        corner = np.array([columns.start, rows.start])
        self.layers = separate(np.ascontiguousarray(portrait[self._box]), head.landmarks - corner)
        self._moving = portrait
        if self.layers:
            self._moving = portrait.copy()
            self._moving[self._box] = self.layers.person
        limits = LAYERS if self.layers else SHEET
        self.warp = HeadWarp(head, (height, width), limits, _free_sides(self.layers))
        self._cells: grid.Cells | None = None
        if self.layers:
            self._cells = grid.cells_of(self.layers.matte, self.warp.step, self.warp.shape)

    def animate(self, motion: Motion, times_s: Float[np.ndarray, "frames"]) -> Iterator[Image]:
        """Yields one frame for each time."""
        return self.render(motion.at_times(times_s))

    def render(self, values: Float[np.ndarray, "frames coeff"]) -> Iterator[Image]:
        """Yields one frame for each row of `values`.

        Raises `UserError` where values have another size than the space or are not finite.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != LANDMARK.size:
            raise UserError(
                f"mesh renderer: motion of shape {values.shape} is not in space {LANDMARK.name!r} "
                f"(frames, {LANDMARK.size})"
            )
        if not np.isfinite(values).all():
            raise UserError("mesh renderer: motion holds values that are not finite")
        return (self._frame(row.astype(np.float64)) for row in values)

    def _frame(self, row: Float[np.ndarray, "70"]) -> Image:
        moved = self.warp.displacement(row)
        is_still = np.abs(moved).max() < grid.STILL
        frame = self.portrait.copy()
        source = frame if is_still else self._moving.copy()
        displacement = self._head.face_change(row[LANDMARK.slice("exp")])
        self._eyes_and_mouth.apply(source, displacement, self._gaze(row))
        if not is_still:
            back, step = grid.inverted(moved, self.warp.step), self.warp.step
            part, lookup = grid.lookup(back, step, self._box, self._cells)
            frame[part] = self._drawn(source, part, lookup)
        return frame

    def _gaze(self, row: Float[np.ndarray, "70"]) -> Float[np.ndarray, "2"]:
        """How far the irises move, across and down the face, in distances between the eyes."""
        pitch, yaw, _ = row[LANDMARK.slice("angle")] - self._head.angle
        return EYEBALL * np.sin(GAZE_KEPT * np.array([yaw, -pitch]))

    def _drawn(
        self, source: Image, part: tuple[slice, slice], lookup: grid.Lookup
    ) -> UInt8[np.ndarray, "part_height part_width 3"]:
        """The rows and columns `part` of the frame: `source` looked up, over the background."""
        person = cv2.remap(source, *lookup, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        if self.layers is None:
            return person
        rows, columns = self._box
        x, y = lookup[0] - np.float32(columns.start), lookup[1] - np.float32(rows.start)
        matte = cv2.remap(self.layers.matte, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = tuple(
            slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, self._box, strict=True)
        )
        return blended(person, matte, self.layers.background[inside])


def _free_sides(layers: Layers | None) -> Bool[np.ndarray, "2 2"]:
    """Which edges of the image (x: left, right; y: top, bottom) the person does not reach."""
    if layers is None:
        return np.zeros((2, 2), bool)
    ends = [[matte[0], matte[-1]] for matte in (layers.matte.T, layers.matte)]
    return np.array([[not end.any() for end in side] for side in ends])


def load(weights: Path | None) -> type[MeshRenderer]:
    """The renderer of `lhg_jax.render`. It has no weights; `UserError` where some are named."""
    if weights:
        raise UserError("--renderer-weights: the mesh renderer takes none")
    return MeshRenderer

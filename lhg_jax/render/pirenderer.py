"""PIRenderer: a network redraws the portrait's face for each frame of motion.

Ren et al., *PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering*, ICCV 2021
(arXiv 2109.08379). The network (`python -m lhg_exporters pirenderer`) sees one square of the portrait, 256
pixels wide, and 27 frames of 73 coefficients around the one to draw, 30 a second. Crop coefficients are in
pixels of that square.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.motion import DEEP3D_CROP, FRAME_RATE, Motion, require_same_space
from lhg_jax.render.paste import Paste, Square
from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

SIZE = 256  # of the network's images, pixels
RADIUS = 13  # frames of motion before and after the one to draw
BATCH = 4  # frames drawn at once; memory is that of one batch
# Side of the square where the coefficients' scale is 1, pixels. The training frames were head crops of
# VoxCeleb; 280 brings the eyes to about 58 of 256 pixels apart there.
SIDE_AT_UNIT_SCALE = 280.0
SMALLEST_SIDE = 32  # pixels of the portrait below which there is nothing to redraw
EXP, ANGLE, CROP = (DEEP3D_CROP.slice(name) for name in ("exp", "angle", "crop"))
SCALE, ORIGIN_X, ORIGIN_Y = range(CROP.start, CROP.stop)

Values = Float[np.ndarray, "frames 73"]


@runtime_checkable
class PortraitFit(Protocol):
    """What a tracker says of a portrait."""

    values: np.ndarray  # [73], motion.DEEP3D_CROP, crop in pixels of the portrait, y up
    landmarks: np.ndarray  # [68, 2], iBUG order, pixels of the portrait, y down


@dataclasses.dataclass(frozen=True)
class PIRenderer:
    """The renderer; `renderer(portrait, fit).animate(motion, times_s)` yields frames.

    Attributes:
      stage: the network, from image [N, 3, 256, 256] and window [N, 73, 27] to fake.
      whole: whether frames are the whole portrait, the face pasted back, or the square as it is drawn.
    """

    stage: interop.ExternalNetwork
    whole: bool = True
    space = DEEP3D_CROP

    def __call__(self, portrait: UInt8[np.ndarray, "height width 3"], fit: PortraitFit) -> "PortraitRenderer":
        """Prepares a portrait. Raises `UserError` where its face is too small or not in `space`."""
        return PortraitRenderer(self.stage, portrait, fit, self.whole)


def load(weights: Path | None) -> PIRenderer:
    """The renderer with a network made by `python -m lhg_exporters`. Raises `UserError` for any other."""
    if weights is None:
        raise UserError("--renderer-weights: PIRenderer needs its network, an .onnx file (docs/weights.md)")
    shapes = {"image": (1, 3, SIZE, SIZE), "window": (1, DEEP3D_CROP.size, 2 * RADIUS + 1)}
    return PIRenderer(interop.load_as(weights, ["fake"], **shapes))


class PortraitRenderer:
    """One portrait, ready to be animated."""

    def __init__(self, stage: interop.ExternalNetwork, portrait: np.ndarray, fit: PortraitFit, whole: bool):
        """Cuts the square out; see `PIRenderer`."""
        values = np.asarray(fit.values, np.float32)
        if values.shape != (DEEP3D_CROP.size,) or not np.isfinite(values).all() or values[SCALE] <= 0:
            raise UserError(f"portrait: its fit is not in space {DEEP3D_CROP.name!r}")
        self.stage = stage
        self.height = len(portrait)
        self.square = head_square(values, self.height)
        if self.square.side < SMALLEST_SIDE:
            raise UserError(
                f"portrait: a head of {self.square.side} pixels is too small to redraw "
                f"(at least {SMALLEST_SIDE}; give a larger picture of the face)"
            )
        self.source = to_square(values[None], self.square, self.height)[0]
        pixels = self.square.cut(portrait, SIZE).astype(np.float32)
        self.image = np.ascontiguousarray((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)
        self._finish = Paste(portrait, self.square, np.asarray(fit.landmarks)) if whole else truncated

    def animate(
        self, motion: Motion, times_s: Float[np.ndarray, "times"]
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Yields one frame for each time (s).

        Raises `UserError` where the motion is in another space.
        """
        require_same_space("the motion", motion.space, "PIRenderer", DEEP3D_CROP)
        values = to_square(motion.values, self.square, self.height)
        values = normalise_scale(values, self.source)
        return self._frames(dataclasses.replace(motion, values=values), np.asarray(times_s))

    def _frames(self, motion: Motion, times_s: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(times_s), BATCH):
            window = windows(motion, times_s[start : start + BATCH])
            image = np.ascontiguousarray(np.broadcast_to(self.image, (len(window), *self.image.shape)))
            for drawn in self.stage(image=image, window=window)["fake"]:
                yield self._finish((np.clip(drawn, -1, 1).transpose(1, 2, 0) + 1) / 2 * 255)


def windows(motion: Motion, times_s: Float[np.ndarray, "times"]) -> Float[np.ndarray, "times 73 27"]:
    """Motion around each time (s) at 30 frames/s, entry 13 at the time itself, held at both ends."""
    steps_s = np.arange(-RADIUS, RADIUS + 1) / FRAME_RATE
    rows = motion.at_times((times_s[:, None] + steps_s).ravel())
    rows = rows.reshape(len(times_s), len(steps_s), motion.space.size)
    return np.ascontiguousarray(rows.transpose(0, 2, 1), np.float32)


def head_square(values: Float[np.ndarray, "73"], height: int) -> Square:
    """Head and shoulders of a portrait of this height, from the crop coefficients of its face."""
    side = round(SIDE_AT_UNIT_SCALE / float(values[SCALE]))
    x, y = float(values[ORIGIN_X]), height - 1 - float(values[ORIGIN_Y])
    return Square(round(x - side / 2), round(y - side / 2), side)


def to_square(values: Values, square: Square, height: int) -> Values:
    """Crop coefficients in the network's pixels, from those in a portrait of this height; y is up."""
    zoom = SIZE / square.side
    moved = values.astype(np.float32)
    moved[:, SCALE] = values[:, SCALE] / zoom
    moved[:, ORIGIN_X] = (values[:, ORIGIN_X] - square.left + 0.5) * zoom - 0.5
    down = height - 1 - values[:, ORIGIN_Y]
    moved[:, ORIGIN_Y] = SIZE - 1 - ((down - square.top + 0.5) * zoom - 0.5)
    return moved


def normalise_scale(values: Values, source: Float[np.ndarray, "73"]) -> Values:
    """A motion with the crop's scale brought to that of the portrait, by one factor for all frames.

    It is the portrait's scale over that of the frame whose expression and angle are nearest to the
    portrait's (0.3 and 0.7 of their mean absolute differences). 1 for motion that begins with the portrait.
    """
    distance = 0.3 * np.abs(values[:, EXP] - source[EXP]).mean(axis=1)
    distance += 0.7 * np.abs(values[:, ANGLE] - source[ANGLE]).mean(axis=1)
    scaled = values.copy()
    scaled[:, SCALE] *= source[SCALE] / values[np.argmin(distance), SCALE]
    return scaled


def truncated(drawn: Float[np.ndarray, "256 256 3"]) -> UInt8[np.ndarray, "256 256 3"]:
    """Eight bits as the reference makes them: cut off, not rounded."""
    return drawn.astype(np.uint8)

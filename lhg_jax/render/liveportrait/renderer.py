"""LivePortrait as a renderer: a square of the portrait is redrawn for each frame of motion and put back.

Guo et al., *LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control*, arXiv
2407.03168. Driving is relative to the portrait's own pose and expression. A frame costs some 20 seconds of
one CPU core: fewer frames a second (`render.frame_rate`) or a GPU help.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.liveportrait import crop, driving
from lhg_jax.liveportrait.keypoints import Points, lip_ratio
from lhg_jax.liveportrait.networks import Networks
from lhg_jax.liveportrait.networks import load as load_networks
from lhg_jax.motion import LANDMARK, LIVEPORTRAIT, CoefficientSpace, Motion, require_same_space
from lhg_jax.render.liveportrait.from_landmarks import LandmarkDriver
from lhg_jax.render.liveportrait.from_native import NativeDriver

Image = UInt8[np.ndarray, "height width 3"]
STILL = 1e-4  # of the crop's half width: keypoints that moved less than this are drawn again as they were
STITCH_UNTIL_DEG, STITCH_NONE_DEG = 20.0, 35.0  # a stitched head that turns farther parts from its body

Driver = LandmarkDriver | NativeDriver


@dataclasses.dataclass(frozen=True)
class LivePortrait:
    """The renderer; `renderer(portrait, fit).animate(motion, times_s)` yields frames.

    Attributes:
      networks: of a folder.
      space: of the motion: `landmark` (moved by ratios and sliders), or `liveportrait` itself.
      whole: whether frames are the whole portrait or the square as it is drawn.
    """

    networks: Networks
    space: CoefficientSpace = LANDMARK
    whole: bool = True

    def __call__(self, portrait: Image, fit: Any) -> "LivePortraitRenderer":
        """Prepares a portrait; `fit` is the tracker's, in `space`."""
        return LivePortraitRenderer(self, portrait, fit)

    def in_space(self, space: CoefficientSpace) -> "LivePortrait | None":
        """This renderer for motion in another space, or None where it has no way from there."""
        return dataclasses.replace(self, space=space) if space in (LANDMARK, LIVEPORTRAIT) else None


def load(weights: Path | None) -> LivePortrait:
    """The renderer with the networks in a folder. Raises `UserError` where they are not there."""
    return LivePortrait(load_networks(weights))


class LivePortraitRenderer:
    """One portrait, ready to be animated."""

    def __init__(self, renderer: LivePortrait, portrait: Image, fit: Any):
        """Cuts the square out and looks at it; see `LivePortrait`."""
        self.networks, self.space = renderer.networks, renderer.space
        self.correctors = self.networks.correctors()
        box = crop.box(np.asarray(fit.landmarks, np.float64))
        matrix = box.matrix(crop.DRAWN)
        seen = crop.halve(crop.cut(portrait, matrix))
        self.source = self.networks.motion(seen[None])
        self.points = self.source.points()
        self.feature = self.networks.appearance(seen)
        self.driver = self._driver(box, fit)
        self._own_angle = np.asarray(fit.values)[self.space.slice("angle")]
        lips = lip_ratio(np.asarray(fit.landmarks, np.float32))
        self._closed_lips = driving.close_lips(self.points, lips, self.correctors.lip)
        self._finish = crop.PasteBack(portrait, matrix) if renderer.whole else lambda drawn: drawn

    def animate(self, motion: Motion, times_s: Float[np.ndarray, "times"]) -> Iterator[Image]:
        """Yields one frame for each time (s). Raises `UserError` where the motion is in another space."""
        require_same_space("the motion", motion.space, "LivePortrait", self.space)
        return self._frames(self.keypoints(motion.at_times(times_s)))

    def keypoints(self, values: Float[np.ndarray, "frames coeff"]) -> Points:
        """Where the keypoints lie in each frame: driven, stitched as far as the turn allows, lips shut.

        What stitching does to the portrait itself is left out, so that a portrait at rest is drawn at rest.
        """
        driven = self.driver(values).points()
        stitched = driving.stitch(self.points, driven, self.correctors.stitching)
        nothing = driving.stitch(self.points, self.points, self.correctors.stitching) - self.points
        share = self._stitching(values[:, self.space.slice("angle")])[:, None, None]
        lips = self.driver.lip_closing(values)[:, None, None] * self._closed_lips
        return (driven + share * (stitched - driven - nothing) + lips).astype(np.float32)

    def _stitching(self, angle: Float[np.ndarray, "frames 3"]) -> Float[np.ndarray, "frames"]:
        turn = np.rad2deg(np.abs(angle - self._own_angle).max(axis=1))
        return np.clip((STITCH_NONE_DEG - turn) / (STITCH_NONE_DEG - STITCH_UNTIL_DEG), 0, 1)

    def _frames(self, points: Points) -> Iterator[Image]:
        last, frame = None, None
        for at in points:
            if last is None or np.abs(at - last).max() > STILL:
                last = at
                frame = self._finish(self.networks.draw(self.feature, at[None], self.points)[0])
            assert frame is not None
            yield frame

    def _driver(self, box: crop.Box, fit: Any) -> Driver:
        reference = np.asarray(fit.values, np.float64)
        if self.space == LIVEPORTRAIT:
            return NativeDriver(self.source, box, reference)
        return LandmarkDriver(self.source, box, fit.anchor, reference)

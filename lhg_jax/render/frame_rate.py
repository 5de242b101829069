"""Fewer frames a second drawn by a slow renderer, and the frames between them by optical flow.

Kroeger et al., *Fast Optical Flow using Dense Inverse Search*, ECCV 2016 (OpenCV's DIS): both neighbours are
moved to the time between them and mixed.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.motion import CoefficientSpace, Motion

Image = UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class FewerFrames:
    """Another renderer, asked for `fps` frames a second at most.

    Attributes:
      renderer: any of `render.RENDERERS`.
      fps: frames drawn a second, positive.
      space: of the motion.
    """

    renderer: Any
    fps: float
    space: CoefficientSpace

    def __call__(self, portrait: Image, fit: Any) -> "ThinnedPortrait":
        """Prepares a portrait."""
        return ThinnedPortrait(self.renderer(portrait, fit), self.fps)


@dataclasses.dataclass(frozen=True)
class ThinnedPortrait:
    """A portrait that is drawn at some times and interpolated at the others."""

    portrait: Any
    fps: float

    def animate(self, motion: Motion, times_s: Float[np.ndarray, "times"]) -> Iterator[Image]:
        """Yields one frame for each time (s), increasing."""
        times_s = np.asarray(times_s, np.float64)
        drawn = chosen_times(times_s, self.fps)
        return interpolated(self.portrait.animate(motion, times_s[drawn]), drawn, times_s)


def chosen_times(times_s: Float[np.ndarray, "times"], fps: float) -> list[int]:
    """Which times to draw: the first, the last, and between them as many as `fps` allows."""
    chosen = [0]
    for i in range(1, len(times_s)):
        if times_s[i] - times_s[chosen[-1]] >= 1 / fps - 1e-6:
            chosen.append(i)
    return chosen if chosen[-1] == len(times_s) - 1 else [*chosen, len(times_s) - 1]


def interpolated(
    frames: Iterator[Image], drawn: list[int], times_s: Float[np.ndarray, "times"]
) -> Iterator[Image]:
    """All frames, from those at the times `drawn`; two are kept at a time."""
    before = next(frames)
    yield before
    for start, end in itertools.pairwise(drawn):
        after = next(frames)
        if end - start > 1:
            between = InBetween(before, after)
            for i in range(start + 1, end):
                yield between.at(float((times_s[i] - times_s[start]) / (times_s[end] - times_s[start])))
        yield after
        before = after


class InBetween:
    """Two frames and the flow from each to the other."""

    def __init__(self, before: Image, after: Image):
        self.frames = before, after
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.frames]
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.flows = search.calc(grey[0], grey[1], None), search.calc(grey[1], grey[0], None)

    def at(self, share: float) -> Image:
        """The frame at this share of the way, in (0, 1)."""
        first = _moved(self.frames[0], self.flows[0], share)
        second = _moved(self.frames[1], self.flows[1], 1 - share)
        return np.round((1 - share) * first + share * second).astype(np.uint8)


def _moved(image: Image, flow: Float[np.ndarray, "height width 2"], share: float) -> np.ndarray:
    """Content moved by `share` of the flow, which is taken to be the same at both ends of the way."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    at_x, at_y = x - share * flow[..., 0], y - share * flow[..., 1]
    return cv2.remap(image, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)

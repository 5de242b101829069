"""Frames and a video of what a listener in training does, on the demo's portrait; `train` draws with it."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.motion import FRAME_RATE, LANDMARK, CoefficientSpace
from lhg_jax.util.errors import UserError

Frames = UInt8[np.ndarray, "frames height width 3"]
Image = UInt8[np.ndarray, "_ _ 3"]
Values = Float[np.ndarray, "frames coeff"]

MOMENTS, HEAD_MOMENTS = 5, 2
APART_S = 0.4  # least time between two moments: a nod's strokes are closer


def draw_frames(video: Path, predicted: Values, target: Values, space: CoefficientSpace) -> Image:
    """Writes predicted and true listener side by side; returns a sheet of the true one's liveliest moments.

    A row of the sheet is a moment: the true listener, the predicted one, and how they differ (grey: nowhere).
    Raises `UserError` where no renderer knows the space.
    """
    if space != LANDMARK:
        raise UserError(f"no renderer for space {space.name!r}")
    from lhg_jax.media import VideoWriter

    render = portrait_renderer()
    true, ours = (np.stack(list(render(values))) for values in (target, predicted))
    height, width = true.shape[1:3]
    with VideoWriter(video, 2 * width, height, np.arange(len(true)) / FRAME_RATE) as writer:
        for pair in zip(true, ours, strict=True):
            writer.write(np.concatenate(pair, axis=1))
    return sheet(true, ours, moments(target))


def moments(values: Values) -> list[int]:
    """Frames of a `landmark` motion that are farthest from how it begins, in order of time, some way apart.

    `HEAD_MOMENTS` of them by the head's turns alone: among the 64 numbers of a face a nod would be lost.
    """
    change = np.abs(values - values[:1])
    turns = change[:, LANDMARK.slice("angle")].max(axis=1)
    face = (change / np.maximum(values.std(axis=0), 1e-6))[:, LANDMARK.slice("exp")].mean(axis=1)
    chosen: list[int] = []
    for distance, count in ((turns, HEAD_MOMENTS), (face, MOMENTS)):
        for frame in np.argsort(-distance, kind="stable"):
            if len(chosen) < count and all(abs(frame - other) >= APART_S * FRAME_RATE for other in chosen):
                chosen.append(int(frame))
    return sorted(chosen)


def sheet(true: Frames, ours: Frames, frames: list[int]) -> Image:
    """One row for each of `frames`: true, predicted, difference; with captions."""
    rows = []
    for frame in frames:
        difference = np.clip(128 + ours[frame].astype(int) - true[frame], 0, 255).astype(np.uint8)
        row = np.concatenate([true[frame], ours[frame], difference], axis=1)
        rows.append(_captioned(row, f"{frame / FRAME_RATE:.1f} s: true listener | predicted | difference"))
    return np.concatenate(rows, axis=0)


def _captioned(image: Image, text: str) -> Image:
    from PIL import Image as Pictures
    from PIL import ImageDraw

    picture = Pictures.new("RGB", (image.shape[1], image.shape[0] + 16), "white")
    picture.paste(Pictures.fromarray(image), (0, 16))
    ImageDraw.Draw(picture).text((4, 2), text, fill="black")
    return np.asarray(picture)


@functools.cache  # tracking the portrait takes seconds
def portrait_renderer() -> Callable[[Values], Iterator[Image]]:
    """Motion -> frames of the demo's portrait, moved from where that motion begins."""
    from skimage import data

    from lhg_jax.demo import LISTENER_CROP
    from lhg_jax.faces.landmark import LandmarkTracker
    from lhg_jax.render.mesh.renderer import MeshRenderer

    image = data.astronaut()[LISTENER_CROP]
    fit: Any = LandmarkTracker().track_image(image)
    renderer = MeshRenderer(image, fit)
    return lambda values: renderer.render(values - values[:1] + np.asarray(fit.values, np.float32))

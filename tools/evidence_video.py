"""Listeners side by side on one portrait, with the sound of the speaker that they answer."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lhg_jax.media import VideoWriter
from lhg_jax.motion import FRAME_RATE
from lhg_jax.sample_clips import moments, portrait_renderer
from lhg_jax.simulator.dyads import Dyad

CAPTION = 20  # pixels
SIZE = 240  # of each listener, pixels


def write_listeners(path: Path, dyad: Dyad, motions: Mapping[str, np.ndarray]) -> bytes:
    """Writes the true listener and others, each under its name; as long as the dyad.

    Returns a picture of a lively moment, as JPEG.
    """
    render = portrait_renderer()
    drawn = {"simulator": dyad.listener.values, **motions}
    pictures = [[small(frame) for frame in render(values)] for values in drawn.values()]
    head = np.concatenate([caption(name) for name in drawn], axis=1)
    times_s = np.arange(len(dyad.listener)) / FRAME_RATE
    width, height = SIZE * len(drawn), SIZE + CAPTION
    frames = [np.concatenate([head, np.concatenate(row, axis=1)]) for row in zip(*pictures, strict=True)]
    with VideoWriter(path, width, height, times_s, audio=dyad.wave.astype(np.float32)) as writer:
        for frame in frames:
            writer.write(frame)
    return jpeg(frames[moments(dyad.listener.values)[0]])


def jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=88)
    return file.getvalue()


def small(image: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def caption(text: str) -> np.ndarray:
    """A white strip with a name."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIZE, CAPTION), "white")
    ImageDraw.Draw(picture).text((6, 4), text, fill="black")
    return np.asarray(picture, np.uint8)

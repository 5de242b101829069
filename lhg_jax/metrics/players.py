"""Small side-by-side videos for the report: the true listener on the left, the prediction on the right."""

import itertools
from pathlib import Path

import numpy as np

from lhg_jax.media import VideoWriter, frame_times, probe, read_frames

HEIGHT = 240  # pixels


def write_player(path: Path, prediction: Path, reference: Path) -> None:
    """Writes both videos into one, so that they cannot fall out of step; sound comes along if there is any.

    As long as the shorter one, at the reference's time stamps. Raises `UserError`.
    """
    times_s = frame_times(reference)[: len(frame_times(prediction))]
    files = [probe(reference), probe(prediction)]
    width = sum(_width(info.height, info.width) for info in files)
    sound = next((info.path for info in reversed(files) if info.has_audio), None)
    frames = zip(read_frames(reference), read_frames(prediction), strict=False)
    with VideoWriter(path, width, HEIGHT, times_s, audio_from=sound) as writer:
        for a, b in itertools.islice(frames, len(times_s)):
            writer.write(np.concatenate([_small(a.image), _small(b.image)], axis=1))


def _width(height: int, width: int) -> int:
    """Width at `HEIGHT` with the aspect kept, even as the codec needs it."""
    return max(2, 2 * round(width * HEIGHT / height / 2))


def _small(image: np.ndarray) -> np.ndarray:
    import cv2

    size = (_width(*image.shape[:2]), HEIGHT)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

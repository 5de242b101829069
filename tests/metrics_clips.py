"""Small clips for tests of the evaluation."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def noise(frames, height, width, seed):
    """Smooth coloured noise that changes from frame to frame, uint8 RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (frames, -(-height // 8), -(-width // 8), 3))
    return np.kron(coarse, np.ones((1, 8, 8, 1), int))[:, :height, :width].astype(np.uint8)


def face(frames, amplitude, size=160):
    """A portrait (public domain, NASA) whose head tilts by `amplitude` degrees."""
    import cv2
    from skimage.data import astronaut

    portrait = cv2.resize(astronaut()[0:256, 96:352], (size, size), interpolation=cv2.INTER_AREA)
    images = []
    for index in range(frames):
        angle = amplitude * np.sin(2 * np.pi * index / 12)
        turn = cv2.getRotationMatrix2D((size / 2, size * 0.55), angle, 1)
        images.append(cv2.warpAffine(portrait, turn, (size, size), borderMode=cv2.BORDER_REFLECT))
    return np.stack(images)


def write(path: Path, images: np.ndarray, pixels: str = "bgr0") -> Path:
    """Writes frames at 30 frames/s without loss (FFV1): .mkv; pixels 'gray' keeps one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pixels
        stream.time_base = Fraction(1, 30)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

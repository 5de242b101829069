"""A stretch of a long recording, found without reading what comes before it."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lhg_jax.media import libav
from lhg_jax.media.audio import SAMPLE_RATE, stream_audio
from lhg_jax.media.clock import read_clock
from lhg_jax.media.decoding import decode, require_video
from lhg_jax.media.display import Display
from lhg_jax.media.video import Frame
from lhg_jax.util.errors import UserError


class Part(NamedTuple):
    """A rectangle of a picture, as shares of its width and height in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Part(0.0, 0.0, 1.0, 1.0)


def excerpt_frames(
    path: str | os.PathLike, start_s: float, end_s: float, part: Part = WHOLE
) -> Iterator[Frame]:
    """The frames of a video that are shown in [start_s, end_s), their times counted from `start_s`.

    The one that is on the screen at the start has time 0. Times are those of `read_frames`.

    Args:
      path: a video file.
      start_s, end_s: seconds on the file's clock, 0 <= start_s < end_s.
      part: of the picture.

    Raises:
      UserError: at the call of `next`, if the file is no video or shows nothing in that stretch.
    """
    clock, before, count = read_clock(path), None, 0
    with libav.open_input(path) as container:
        stream = require_video(path, container)
        clock.seek(container, stream, start_s)
        display = Display(stream)
        for stamp_s, duration_s, frame in decode(path, container, stream, clock):
            time_s = stamp_s - clock.zero_s
            if time_s >= end_s:
                break
            if time_s < start_s:
                before = frame if time_s + duration_s > start_s else None
                continue
            if before is not None and time_s > start_s:
                yield Frame(0.0, _cut(display(before), part))
            before, count = None, count + 1
            yield Frame(time_s - start_s, _cut(display(frame), part))
    if not count:
        raise UserError(f"{path}: shows nothing from {start_s:.1f} to {end_s:.1f} s")


def excerpt_sound(
    path: str | os.PathLike,
    start_s: float,
    end_s: float,
    sample_rate: int = SAMPLE_RATE,
    channel: int | None = None,
) -> Float[np.ndarray, "samples"]:
    """The sound of [start_s, end_s), resampled, as `read_audio` gives it; shorter where the file ends before.

    Args:
      path: an audio or video file.
      start_s, end_s: seconds on the file's clock, 0 <= start_s < end_s.
      sample_rate: Hz.
      channel: of several, counted from 0; None takes their mean.

    Raises:
      UserError: no sound there, or no such channel.
    """
    wanted, blocks, count = round((end_s - start_s) * sample_rate), [], 0
    for block in stream_audio(path, sample_rate, start_s=start_s):
        if channel is not None and channel >= block.shape[1]:
            raise UserError(f"{path}: has {block.shape[1]} channels of sound, no number {channel + 1}")
        blocks.append(block.mean(axis=1) if channel is None else block[:, channel])
        count += len(block)
        if count >= wanted:
            break
    wave = np.concatenate(blocks)[:wanted]
    return np.clip(wave, -1, 1, out=wave)


def _cut(image: np.ndarray, part: Part) -> np.ndarray:
    height, width = image.shape[:2]
    rows = slice(round(part.top * height), round(part.bottom * height))
    return image[rows, round(part.left * width) : round(part.right * width)]

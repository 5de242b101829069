"""The decoded frames of a video stream, each with its time."""

import os
from collections.abc import Iterator
from typing import Any

from lhg_jax.media import libav
from lhg_jax.media.clock import Clock
from lhg_jax.util.errors import UserError

# Containers whose packets carry a presentation time each; of others (AVI, transport and raw streams) only
# the decoder knows which frames there are.
TIMED_CONTAINERS = ("mov", "matroska")


def decode(
    path: str | os.PathLike, container: Any, stream: Any, clock: Clock
) -> Iterator[tuple[float, float, Any]]:
    """Yields (start, duration, frame) in seconds of the file's time stamps, starts strictly increasing."""
    default_s = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    last_s, count = None, 0
    try:
        for frame in clock.frames(container, stream):
            stamp = frame.pts if frame.pts is not None else frame.dts
            next_s = 0.0 if last_s is None else last_s + default_s
            start_s = next_s if stamp is None else float(stamp * frame.time_base)
            if last_s is not None and start_s <= last_s:
                start_s = next_s
            duration_s = float((frame.duration or 0) * frame.time_base) or default_s
            yield start_s, duration_s, frame
            last_s, count = start_s, count + 1
    except libav.av.error.InvalidDataError:
        raise truncated(path, count, max(stream.frames, count + 1)) from None


def require_video(path: str | os.PathLike, container: Any) -> Any:
    """The video stream of an opened file. Raises `UserError` where there is none that can be decoded."""
    stream = libav.video_stream(container)
    if stream is None:
        raise UserError(f"{path}: has no video")
    if stream.codec_context is None:
        raise UserError(f"{path}: its video codec is not supported by this build of FFmpeg")
    return stream


def is_timed(container: Any) -> bool:
    """Whether the packets tell when each frame is shown."""
    return container.format.name.startswith(TIMED_CONTAINERS)


def truncated(path: str | os.PathLike, readable: int, promised: int) -> UserError:
    """The error of a file that holds fewer frames than it says."""
    return UserError(f"{path}: truncated or damaged, only {readable} of {promised} frames can be read")

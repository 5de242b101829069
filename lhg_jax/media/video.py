"""Reading video: what a file holds, when each frame is shown, and the frames themselves as a stream."""

import array
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.media import libav
from lhg_jax.util.errors import UserError

# Containers whose packets carry a presentation time each; of others (AVI, transport and raw streams) only
# the decoder knows which frames there are.
TIMED_CONTAINERS = ("mov", "matroska")


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture: `image` UInt8 [H, W, 3] RGB, upright, shown from `time_s` (seconds, file's clock) on."""

    time_s: float
    image: UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class MediaInfo:
    """What a media file holds. Without video: size, fps and frames are 0; without audio: rate and channels.

    Attributes:
      width, height: pixels as shown, rotation applied.
      fps: average frames/s.
      frames: exact number of frames that can be decoded.
      duration_s: seconds from the clock's zero to the end of the longest stream.
      video_end_s: when the last frame stops being shown (seconds), 0 without video.
      sample_rate: Hz.
    """

    path: str
    has_video: bool
    has_audio: bool
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    video_end_s: float
    sample_rate: int
    channels: int


@dataclasses.dataclass(frozen=True)
class _Timing:
    """Time stamps of all frames (s, increasing) and when the last one ends (s)."""

    times_s: Float[np.ndarray, "frames"]
    end_s: float


def probe(path: str | os.PathLike) -> MediaInfo:
    """Describes a video, audio file or both. Reads the whole file once, decoding one frame.

    Raises:
      UserError: not there, not media, nothing to see or hear in it, or shorter than its header promises.
    """
    with libav.open_input(path) as container:
        video, audio = libav.video_stream(container), libav.audio_stream(container)
        if video is None and audio is None:
            raise UserError(f"{path}: holds neither video nor sound")
        zero_s = libav.clock_zero(container)
        ends = [container.duration / libav.av.time_base] if container.duration else [0.0]
        # `duration` counts from the earliest stream, the clock from its zero.
        ends[0] += (container.start_time or 0) / libav.av.time_base - zero_s
        rate, channels = (audio.rate, audio.channels) if audio is not None else (0, 0)
    if video is None:
        return MediaInfo(str(path), False, True, 0, 0, 0.0, 0, ends[0], 0.0, rate, channels)
    timing = _timing(path)
    height, width = next(read_frames(path)).image.shape[:2]
    frames, span_s = len(timing.times_s), timing.end_s - float(timing.times_s[0])
    duration_s = max(*ends, timing.end_s)
    return MediaInfo(
        str(path), True, audio is not None, width, height, frames / span_s, frames, duration_s, timing.end_s,
        rate, channels,
    )  # fmt: skip


def frame_times(path: str | os.PathLike) -> Float[np.ndarray, "frames"]:
    """When each frame is shown: seconds on the file's clock, float64, strictly increasing.

    Taken from the packets where the container gives each a time, without decoding; else by decoding.
    """
    return _timing(path).times_s


def read_frames(path: str | os.PathLike, on_frame: Callable[[], None] | None = None) -> Iterator[Frame]:
    """Decodes a video frame by frame; memory does not grow with its length.

    Time 0 is the file's clock (`libav.clock_zero`), the one that `read_audio` uses: a video track that
    starts late yields its first frame at its own time stamp. All frames have the size of the first one.

    Args:
      path: a video file.
      on_frame: called after each frame has been used, e.g. to move a progress bar.

    Raises:
      UserError: at the call of `next`, if the file is no video or ends before its last frame.
    """
    with libav.open_input(path) as container:
        stream = _require_video(path, container)
        zero_s, count = libav.clock_zero(container), 0
        size: dict[str, int] = {}
        promised = stream.frames if _is_timed(container) else 0
        for time_s, _, frame in _decode(path, container, stream):
            size = size or {"width": frame.width, "height": frame.height}
            count += 1
            yield Frame(time_s - zero_s, _upright(frame, size))
            if on_frame is not None:
                on_frame()
    # Frames that an edit list hides are counted by the header too: only then look at the packets.
    if promised and count < promised and count < len(frame_times(path)):
        raise _truncated(path, count, promised)
    if not count:
        raise UserError(f"{path}: no frame of the video can be decoded")


def _require_video(path: str | os.PathLike, container: Any) -> Any:
    stream = libav.video_stream(container)
    if stream is None:
        raise UserError(f"{path}: has no video")
    if stream.codec_context is None:
        raise UserError(f"{path}: its video codec is not supported by this build of FFmpeg")
    return stream


def _is_timed(container: Any) -> bool:
    return container.format.name.startswith(TIMED_CONTAINERS)


def _truncated(path: str | os.PathLike, readable: int, promised: int) -> UserError:
    return UserError(f"{path}: truncated or damaged, only {readable} of {promised} frames can be read")


def _upright(frame: Any, size: dict[str, int]) -> UInt8[np.ndarray, "height width 3"]:
    """RGB with the display rotation (degrees anticlockwise) applied."""
    image = frame.to_ndarray(format="rgb24", **size)
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))


def _decode(path: str | os.PathLike, container: Any, stream: Any) -> Iterator[tuple[float, float, Any]]:
    """Yields (start, duration, frame) in seconds of the file's time stamps, starts strictly increasing."""
    default_s = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    last_s, count = None, 0
    try:
        for frame in container.decode(stream):
            stamp = frame.pts if frame.pts is not None else frame.dts
            next_s = 0.0 if last_s is None else last_s + default_s
            start_s = next_s if stamp is None else float(stamp * frame.time_base)
            if last_s is not None and start_s <= last_s:
                start_s = next_s
            duration_s = float((frame.duration or 0) * frame.time_base) or default_s
            yield start_s, duration_s, frame
            last_s, count = start_s, count + 1
    except libav.av.error.InvalidDataError:
        raise _truncated(path, count, max(stream.frames, count + 1)) from None


def _timing(path: str | os.PathLike) -> _Timing:
    with libav.open_input(path) as container:
        stream = _require_video(path, container)
        zero_s = libav.clock_zero(container)
        rows = _packet_rows(path, container, stream) if _is_timed(container) else None
    if rows is None:
        with libav.open_input(path) as container:
            stream = _require_video(path, container)
            flat = array.array("d", (x for row in _decode(path, container, stream) for x in row[:2]))
            rows = np.asarray(flat).reshape(-1, 2)
    if not len(rows):
        raise UserError(f"{path}: no frame of the video can be decoded")
    starts, lengths = rows.T
    return _Timing(starts - zero_s, float(starts[-1] + lengths[-1]) - zero_s)


def _packet_rows(
    path: str | os.PathLike, container: Any, stream: Any
) -> Float[np.ndarray, "frames 2"] | None:
    """(start, duration) in s of every shown frame from its packet, or None where packets do not tell.

    Raises `UserError` if the header promises more than the file holds.
    """
    default_s = float(1 / (stream.average_rate or stream.guessed_rate or 25))
    flat, count, end_s, timed = array.array("d"), 0, 0.0, True  # flat: 16 bytes a frame
    for packet in container.demux():
        if packet.size == 0 or packet.is_corrupt:  # the flush at the end, or cut off in the middle
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end_s = max(end_s, float((stamp + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != stream.index:
            continue
        count += 1
        timed &= packet.pts is not None
        if timed and not packet.is_discard:
            length_s = float((packet.duration or 0) * packet.time_base)
            flat.extend((float(packet.pts * packet.time_base), length_s or default_s))
    if count < stream.frames:
        raise _truncated(path, count, stream.frames)
    promised_s = (container.duration or 0) / libav.av.time_base
    if end_s < 0.98 * promised_s - 0.5:
        raise UserError(f"{path}: truncated, it ends at {end_s:.1f} s of {promised_s:.1f} s")
    rows = np.asarray(flat).reshape(-1, 2)
    rows = rows[np.argsort(rows[:, 0])]
    return rows if timed and (np.diff(rows[:, 0]) > 0).all() else None

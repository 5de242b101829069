"""When each frame of a video is shown, and when the last one ends: from its packets, or by decoding."""

import array
import dataclasses
import os
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.media import libav
from lhg_jax.media.clock import read_clock
from lhg_jax.media.decoding import decode, is_timed, require_video, truncated
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Timing:
    """Time stamps of all frames (s on the file's clock, increasing) and when the last one ends (s)."""

    times_s: Float[np.ndarray, "frames"]
    end_s: float


def frame_times(path: str | os.PathLike) -> Float[np.ndarray, "frames"]:
    """When each frame is shown: seconds on the file's clock, float64, strictly increasing.

    Taken from the packets where the container gives each a time, without decoding; else by decoding.
    """
    return read_timing(path).times_s


def read_timing(path: str | os.PathLike) -> Timing:
    """Starts of all frames and the end of the last one. Raises `UserError` where there are none."""
    clock = read_clock(path)
    with libav.open_input(path) as container:
        stream = require_video(path, container)
        tells = is_timed(container) and not clock.joins
        rows = _packet_rows(path, container, stream) if tells else None
    if rows is None:
        with libav.open_input(path) as container:
            stream = require_video(path, container)
            flat = array.array("d", (x for row in decode(path, container, stream, clock) for x in row[:2]))
            rows = np.asarray(flat).reshape(-1, 2)
    if not len(rows):
        raise UserError(f"{path}: no frame of the video can be decoded")
    starts, lengths = rows.T
    return Timing(starts - clock.zero_s, float(starts[-1] + lengths[-1]) - clock.zero_s)


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
        raise truncated(path, count, stream.frames)
    promised_s = (container.duration or 0) / libav.av.time_base
    if end_s < 0.98 * promised_s - 0.5:
        raise UserError(f"{path}: truncated, it ends at {end_s:.1f} s of {promised_s:.1f} s")
    rows = np.asarray(flat).reshape(-1, 2)
    rows = rows[np.argsort(rows[:, 0])]
    return rows if timed and (np.diff(rows[:, 0]) > 0).all() else None

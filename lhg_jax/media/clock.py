"""The clock of a media file: where its time starts, and time stamps that start again in the middle of it."""

import dataclasses
import itertools
import os
from collections.abc import Iterator
from typing import Any

from lhg_jax.media import libav

# A stream whose stamps fall back by more than this (s) starts again; less is the disorder of a bad muxer.
RESTART_S = 0.1
AHEAD_S = 0.5  # by which a search goes too far back: decoders and resamplers need a start


@dataclasses.dataclass(frozen=True)
class Clock:
    """Seconds of a file's time stamps to seconds from its start.

    Attributes:
      zero_s: time stamp of time 0. It is the earliest start of any stream (transport streams start anywhere),
        but sound before 0 is the encoder's priming and does not move the clock: MPEG-4 and Matroska both
        count presentation from 0.
      joins: where the stamps start again, because recordings were put one behind the other: position (bytes)
        and seconds that are added to the stamps from there on, so that time goes on.
    """

    zero_s: float
    joins: tuple[tuple[int, float], ...] = ()

    def seek(self, container: Any, stream: Any, start_s: float) -> None:
        """Goes to a key frame at least `AHEAD_S` before a time; a file with joins is read from its start."""
        if not self.joins and start_s > AHEAD_S:
            container.seek(int((start_s - AHEAD_S + self.zero_s) / stream.time_base), stream=stream)

    def packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """The stream's packets, with stamps that go on over the joins; the last one flushes the decoder."""
        part = 0
        for packet in container.demux(stream):
            while part < len(self.joins) and (packet.pos or 0) >= self.joins[part][0]:
                part += 1
            if part:
                shift = round(self.joins[part - 1][1] / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
            yield packet

    def frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """The stream's decoded frames, likewise."""
        for packet in self.packets(container, stream):
            yield from packet.decode()


def read_clock(path: str | os.PathLike) -> Clock:
    """The clock of a file. Reads all packets of containers that may be joined (`_may_be_joined`)."""
    with libav.open_input(path) as container:
        streams = [s for s in (libav.video_stream(container), libav.audio_stream(container)) if s is not None]
        zero_s = _zero(streams)
        if not _may_be_joined(container.format):
            return Clock(zero_s)
        return Clock(zero_s, _joins([_Parts() for _ in streams], streams, container))


def _may_be_joined(form: Any) -> bool:
    """Whether two files of this kind, one behind the other, are read as one."""
    follows_on = bool(form.flags & libav.av.format.Flags.ts_discont.value)
    return follows_on or form.name.startswith(("matroska", "flac"))


def _zero(streams: list[Any]) -> float:
    starts = [
        (stream.type, float(stream.start_time * stream.time_base))
        for stream in streams
        if stream.start_time is not None
    ]
    return min((start if kind == "video" else max(start, 0.0) for kind, start in starts), default=0.0)


class _Parts:
    """Positions, starts and ends (s) of the parts of one stream."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.last_s = -float("inf")

    def add(self, packet: Any) -> None:
        start_s = float((packet.pts if packet.pts is not None else packet.dts) * packet.time_base)
        # Without decoding times pictures come in any order: that is no fresh start.
        decode_s = self.last_s if packet.dts is None else float(packet.dts * packet.time_base)
        if not self.rows or decode_s < self.last_s - RESTART_S:
            self.rows.append([packet.pos or 0, start_s, start_s])
        row = self.rows[-1]
        row[1] = min(row[1], start_s)
        row[2] = max(row[2], start_s + float((packet.duration or 0) * packet.time_base))
        self.last_s = decode_s


def _joins(parts: list[_Parts], streams: list[Any], container: Any) -> tuple[tuple[int, float], ...]:
    by_index = {stream.index: rows for stream, rows in zip(streams, parts, strict=True)}
    for packet in container.demux(streams):
        if packet.size and (packet.dts is not None or packet.pts is not None):
            by_index[packet.stream_index].add(packet)
    most = max(len(stream.rows) for stream in parts)
    # A stream that starts again less often than another begins only in the second recording.
    full = [stream.rows for stream in parts if len(stream.rows) == most]
    joins, added_s = [], 0.0
    for before, after in itertools.pairwise(zip(*full, strict=True)):
        added_s += max(row[2] for row in before) - min(row[1] for row in after)
        joins.append((int(min(row[0] for row in after)), added_s))
    return tuple(joins)

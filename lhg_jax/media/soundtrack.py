"""The sound of a video that is being written: copied packet by packet, or encoded to AAC."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from lhg_jax.media import libav
from lhg_jax.media.audio import SAMPLE_RATE, Block, audio_frames, mono_blocks, stream_audio
from lhg_jax.media.clock import Clock, read_clock
from lhg_jax.util.errors import UserError

# Codecs that go into mp4 as they are; everything else becomes AAC: PCM and Vorbis because mp4 players do not
# know them, Opus and AC-3 because their encoder delay is lost on the way and the sound would lag.
COPIED_CODECS = frozenset({"aac", "mp3", "alac", "flac"})
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
BITS_PER_CHANNEL = 96_000  # bits/s


class Soundtrack(Protocol):
    """A source of audio packets for the output: copied or encoded."""

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order, their times on the clock of the output."""

    def close(self) -> None:
        """Closes the input."""


def _can_be_copied(path: str | os.PathLike) -> bool:
    """Whether mp4 can hold the packets of a file's sound as they are."""
    clock = read_clock(path)
    with libav.open_input(path) as container:
        stream = libav.audio_stream(container)
        if stream is None:
            raise UserError(f"{path}: has no sound (give it with --audio FILE)")
        codec = stream.codec.canonical_name  # 'mp3', whichever decoder reads it
        # The mp4 muxer refuses MP3 below 16 kHz (MPEG-2.5).
        if codec not in COPIED_CODECS or (codec == "mp3" and stream.rate < 16000):
            return False
        stamps = [packet.dts for packet in clock.packets(container, stream) if packet.size]
        if None in stamps or not all(a < b for a, b in itertools.pairwise(stamps)):
            return False
        # mp4 describes its sound once; in transport streams it may change.
        changes = container.format.flags & libav.av.format.Flags.ts_discont.value
    return (not changes or len(_kinds(path)) == 1) and _mp4_takes_all(path, clock)


def _mp4_takes_all(path: str | os.PathLike, clock: Clock) -> bool:
    """Whether an mp4 that is thrown away takes the packets: damaged ones would end the real one."""
    with libav.open_input(path) as container:
        source = libav.audio_stream(container)
        try:
            with libav.av.open(_Nowhere(), "w", format="mp4") as trial:
                for packet in _copied(clock, container, source, trial.add_stream_from_template(source)):
                    trial.mux(packet)
        except (libav.av.error.FFmpegError, ValueError):
            return False
    return True


class _Nowhere(io.RawIOBase):
    """A file that forgets what is written."""

    def __init__(self) -> None:
        self._place = self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def write(self, data: Any) -> int:
        self._place += len(data)
        self._size = max(self._size, self._place)
        return len(data)


def _kinds(path: str | os.PathLike) -> set[tuple[int, int]]:
    """Sample rates and channel counts in a file's sound."""
    found = set()
    with libav.open_input(path) as container:
        for packet in container.demux(libav.audio_stream(container)):
            with contextlib.suppress(libav.av.error.InvalidDataError):
                found |= {(frame.sample_rate, frame.layout.nb_channels) for frame in packet.decode()}
    return found


def _encoder(output: Any, rate: int, channels: int) -> Any:
    rate = rate if rate in AAC_RATES else 48_000
    # By name: files often leave the layout open, which the encoder refuses.
    stream = output.add_stream("aac", rate=rate, layout="mono" if channels == 1 else "stereo")
    stream.bit_rate = BITS_PER_CHANNEL * min(channels, 2)
    return stream


class FileSoundtrack:
    """The sound of a media file: its own packets where mp4 can hold them, otherwise AAC, at most stereo.

    Time 0 of the file's clock becomes time 0 of the output. Copied packets are all kept, those before 0 too.
    """

    def __init__(self, path: str | os.PathLike, output: Any):
        self._path = path
        self._clock = read_clock(path)
        self._copy = _can_be_copied(path)
        self._input = libav.open_input(path)
        self._container = self._input.__enter__()
        self._source = libav.audio_stream(self._container)
        assert self._source is not None  # `_can_be_copied` saw to it
        if self._copy:
            self._stream = output.add_stream_from_template(self._source)
        else:
            self._stream = _encoder(output, self._source.rate, self._source.channels)

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order, their times on the clock of the output. Raises `UserError`."""
        with libav.user_errors(self._path):
            if self._copy:
                yield from _copied(self._clock, self._container, self._source, self._stream)
            else:
                yield from self._encoded()

    def close(self) -> None:
        """Closes the input."""
        self._input.__exit__(None, None, None)

    def _encoded(self) -> Iterator[Any]:
        context = self._stream.codec_context
        blocks = stream_audio(self._path, context.rate, context.layout.name)
        yield from _encode(self._stream, blocks)


def _copied(clock: Clock, container: Any, source: Any, stream: Any) -> Iterator[Any]:
    """The packets of `source` for `stream` of an output."""
    for packet in clock.packets(container, source):
        if not packet.size:  # the flush at the end
            continue
        shift = round(clock.zero_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = stream
        yield packet


def _encode(stream: Any, blocks: Iterable[Block]) -> Iterator[Any]:
    for frame in audio_frames(blocks, stream.codec_context.rate):
        yield from stream.encode(frame)
    yield from stream.encode(None)


class ArraySoundtrack:
    """A mono wave at 16 kHz in [-1, 1], encoded to AAC."""

    def __init__(self, samples: Float[np.ndarray, "samples"], output: Any):
        self._samples = samples
        self._stream = _encoder(output, SAMPLE_RATE, 1)

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order, from time 0 on."""
        yield from _encode(self._stream, mono_blocks(self._samples))

    def close(self) -> None:
        """Nothing to close."""

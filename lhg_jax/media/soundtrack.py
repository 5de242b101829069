"""The sound of a video that is being written: copied packet by packet, or encoded to AAC."""

import os
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from lhg_jax.media import libav
from lhg_jax.media.audio import SAMPLE_RATE, audio_frames
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


def _copyable(stream: Any) -> bool:
    # The mp4 muxer refuses MP3 below 16 kHz (MPEG-2.5).
    codec = stream.codec.canonical_name  # 'mp3', whichever decoder reads it
    return codec in COPIED_CODECS and not (codec == "mp3" and stream.rate < 16000)


def _encoder(output: Any, rate: int, channels: int) -> Any:
    rate = rate if rate in AAC_RATES else 48_000
    # By name: files often leave the layout open, which the encoder refuses.
    stream = output.add_stream("aac", rate=rate, layout="mono" if channels == 1 else "stereo")
    stream.bit_rate = BITS_PER_CHANNEL * min(channels, 2)
    return stream


class FileSoundtrack:
    """The sound of a media file: its own packets where mp4 can hold the codec, otherwise AAC, at most stereo.

    Time 0 of the file's clock (`libav.clock_zero`) becomes time 0 of the output. Nothing is cut.
    """

    def __init__(self, path: str | os.PathLike, output: Any):
        self._path = path
        self._input = libav.open_input(path)
        self._container = self._input.__enter__()
        self._source = libav.audio_stream(self._container)
        if self._source is None:
            self.close()
            raise UserError(f"{path}: has no sound (give it with --audio FILE)")
        self._zero_s = libav.clock_zero(self._container)
        self._copy = _copyable(self._source)
        if self._copy:
            self._stream = output.add_stream_from_template(self._source)
        else:
            self._stream = _encoder(output, self._source.rate, self._source.channels)

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order, their times on the clock of the output. Raises `UserError`."""
        with libav.user_errors(self._path):
            yield from self._copied() if self._copy else self._encoded()

    def close(self) -> None:
        """Closes the input."""
        self._input.__exit__(None, None, None)

    def _copied(self) -> Iterator[Any]:
        for packet in self._container.demux(self._source):
            if packet.dts is None:  # the flush at the end
                continue
            shift = round(self._zero_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._stream
            yield packet

    def _encoded(self) -> Iterator[Any]:
        context = self._stream.codec_context
        resampler = libav.av.AudioResampler(context.format, context.layout, context.rate)
        for frame in self._container.decode(self._source):
            if frame.pts is not None:
                frame.pts -= round(self._zero_s / frame.time_base)
            for converted in resampler.resample(frame):
                yield from self._stream.encode(converted)
        for converted in resampler.resample(None):
            yield from self._stream.encode(converted)
        yield from self._stream.encode(None)


class ArraySoundtrack:
    """A mono wave at 16 kHz in [-1, 1], encoded to AAC."""

    def __init__(self, samples: Float[np.ndarray, "samples"], output: Any):
        self._samples = samples
        self._stream = _encoder(output, SAMPLE_RATE, 1)

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order, from time 0 on."""
        for frame in audio_frames(self._samples, SAMPLE_RATE):
            yield from self._stream.encode(frame)
        yield from self._stream.encode(None)

    def close(self) -> None:
        """Nothing to close."""

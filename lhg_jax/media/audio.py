"""Reading and writing sound as one float32 array."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.media import libav
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

SAMPLE_RATE = 16_000  # Hz, of everything the model hears (DESIGN section 3)
GAP_S = 0.05  # a jump of the time stamps above this is a real gap; below it, rounding of the container
ENCODERS = {".wav": "pcm_s16le", ".flac": "flac", ".m4a": "aac", ".mp3": "libmp3lame"}


def read_audio(path: str | os.PathLike, sample_rate: int = SAMPLE_RATE) -> Float[np.ndarray, "samples"]:
    """Reads the sound of an audio or video file, resampled, as the mean of its channels.

    Sample n belongs to time n / sample_rate on the file's clock, the one of `read_frames`: sound that starts
    later than the video is preceded by zeros, sound before the clock's zero is dropped, gaps are zeros.

    Returns:
      float32 in [-1, 1].

    Raises:
      UserError: no sound in the file (the message names `--audio`), or it cannot be decoded.
    """
    with libav.open_input(path) as container:
        stream = libav.audio_stream(container)
        if stream is None:
            raise UserError(f"{path}: has no sound (give it with --audio FILE)")
        zero_s = libav.clock_zero(container)
        pieces, filled, position = [], 0, 0
        for start_s, wave in _resampled(container, stream, sample_rate):
            if start_s is not None:
                position = round((start_s - zero_s) * sample_rate)
            pieces.append(np.zeros(max(position - filled, 0), np.float32))
            pieces.append(wave[max(filled - position, 0) :])
            position += len(wave)
            filled = max(filled, position)
    if not filled:
        raise UserError(f"{path}: no sound can be decoded (give it with --audio FILE)")
    wave = np.concatenate(pieces)
    return np.clip(wave, -1, 1, out=wave)


def _resampled(
    container: Any, stream: Any, sample_rate: int
) -> Iterator[tuple[float | None, Float[np.ndarray, "samples"]]]:
    """Yields (start, mono wave); start is seconds for the first piece of an unbroken run, else None."""
    resampler, start_s, expected_s = None, None, 0.0
    for frame in container.decode(stream):
        frame_s = expected_s if frame.pts is None else float(frame.pts * frame.time_base)
        if resampler is not None and abs(frame_s - expected_s) > GAP_S:
            yield start_s, _mono(resampler.resample(None))
            resampler, start_s = None, None
        if resampler is None:
            resampler = libav.av.AudioResampler("flt", frame.layout, sample_rate)
            start_s = frame_s
        expected_s = frame_s + frame.samples / frame.sample_rate
        wave = _mono(resampler.resample(frame))
        if len(wave):
            yield start_s, wave
            start_s = None
    if resampler is not None:
        yield start_s, _mono(resampler.resample(None))


def _mono(frames: list[Any]) -> Float[np.ndarray, "samples"]:
    # Interleaved, because planar arrays stop at eight channels.
    waves = [
        frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(axis=1, dtype=np.float32)
        for frame in frames
    ]
    return np.concatenate(waves) if waves else np.zeros(0, np.float32)


def audio_frames(samples: Float[np.ndarray, "samples"], sample_rate: int, size: int = 1024) -> Iterator[Any]:
    """Cuts a mono wave into libav frames of `size` samples with their time stamps."""
    for start in range(0, len(samples), size):
        piece = np.clip(samples[start : start + size], -1, 1).astype(np.float32)
        frame = libav.av.AudioFrame.from_ndarray(np.ascontiguousarray(piece[None]), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
        yield frame


def write_audio(path: str | os.PathLike, samples: Float[np.ndarray, "samples"], sample_rate: int) -> None:
    """Writes a mono wave in [-1, 1] (clipped) atomically: .wav (16 bit), .flac, .m4a or .mp3.

    Raises:
      UserError: another suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ENCODERS:
        raise UserError(f"{path}: sound is written as {', '.join(ENCODERS)}")
    with libav.user_errors(path, "write"), replacing(path) as temporary:  # noqa: SIM117
        with libav.av.open(libav.url(temporary), "w") as container:
            stream = container.add_stream(ENCODERS[suffix], rate=sample_rate, layout="mono")
            layout, rate = stream.codec_context.layout, stream.codec_context.rate
            resampler = libav.av.AudioResampler(stream.codec_context.format, layout, rate)
            for frame in audio_frames(samples, sample_rate):
                for converted in resampler.resample(frame):
                    container.mux(stream.encode(converted))
            container.mux(stream.encode(None))

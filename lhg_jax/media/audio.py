"""Reading and writing sound as one float32 array."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.media import libav
from lhg_jax.media.clock import Clock, read_clock
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

log = logging.getLogger(__name__)
SAMPLE_RATE = 16_000  # Hz, of everything the model hears (DESIGN section 3)
# How far (s) counted samples may depart from the time stamps: containers round these to a millisecond, and
# recorders write them with some jitter.
MAX_DEPARTURE_S = 0.01
MAX_GAP_S = 3600.0  # a longer gap is a damaged time stamp, not a pause
BLOCK = 1024  # samples in which an array is handed to an encoder
ENCODERS = {".wav": "pcm_s16le", ".flac": "flac", ".m4a": "aac", ".mp3": "libmp3lame"}

Block = Float[np.ndarray, "samples channels"]


def read_audio(path: str | os.PathLike, sample_rate: int = SAMPLE_RATE) -> Float[np.ndarray, "samples"]:
    """Reads the sound of an audio or video file, resampled, as the mean of its channels.

    Sample n belongs to time n / sample_rate on the file's clock, the one of `read_frames`, to within
    `MAX_DEPARTURE_S`: sound that starts later than the video is preceded by zeros, sound before the clock's
    zero is dropped, gaps are zeros.

    Returns:
      float32 in [-1, 1].

    Raises:
      UserError: no sound in the file (the message names `--audio`), or it cannot be decoded.
    """
    wave = np.concatenate([block.mean(axis=1) for block in stream_audio(path, sample_rate)])
    return np.clip(wave, -1, 1, out=wave)


def stream_audio(
    path: str | os.PathLike, sample_rate: int, layout: str | None = None, start_s: float = 0.0
) -> Iterator[Block]:
    """Yields the sound of `read_audio` block by block, without gap or overlap.

    Args:
      path: an audio or video file.
      sample_rate: Hz.
      layout: "mono" or "stereo", mixed as FFmpeg does; None leaves the channels as they are, and their number
        may change from block to block.
      start_s: where to begin (s); what comes before is not decoded.
    """
    with libav.open_input(path) as container:
        stream = libav.audio_stream(container)
        if stream is None:
            raise UserError(f"{path}: has no sound (give it with --audio FILE)")
        clock = read_clock(path)
        clock.seek(container, stream, start_s)
        first = filled = position = round(start_s * sample_rate)
        for stamp_s, block in _resampled(_decoded(path, clock, container, stream), sample_rate, layout):
            if stamp_s is not None:
                position = round((stamp_s - clock.zero_s) * sample_rate)
            if position - filled > MAX_GAP_S * sample_rate:
                raise UserError(f"{path}: its time stamps jump by {(position - filled) / sample_rate:.0f} s")
            if position > filled:
                yield np.zeros((position - filled, block.shape[1]), np.float32)
                filled = position
            block, position = block[filled - position :], position + len(block)
            if len(block):
                yield block
                filled = position
    if filled == first:
        where = f" after {start_s:.1f} s" if first else ""
        raise UserError(f"{path}: no sound can be decoded{where} (give it with --audio FILE)")


def _decoded(path: str | os.PathLike, clock: Clock, container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream; packets that cannot be decoded are left out, as players do, with a warning.

    Raises `UserError` where that is every second one.
    """
    lost = count = 0
    for packet in clock.packets(container, stream):
        try:
            frames = packet.decode()
        except libav.av.error.InvalidDataError:
            lost += 1
            continue
        count += bool(frames)
        yield from frames
    if lost > count:
        raise UserError(f"{path}: damaged, most of its sound cannot be decoded")
    if lost:
        log.warning("%s: %d damaged pieces of its sound are left out", path, lost)


def _resampled(
    frames: Iterable[Any], sample_rate: int, layout: str | None
) -> Iterator[tuple[float | None, Block]]:
    """Yields (start, block); start is seconds of the time stamps for the first block of a run, else None.

    A run is sound of one kind (rate, channels) that follows its time stamps.
    """
    resampler, kind, start_s = None, None, None
    for frame_s, frame in _timed(frames):
        if resampler is not None and (frame_s is not None or _kind(frame) != kind):
            yield start_s, _samples(resampler.resample(None))
            resampler, start_s = None, None
        if resampler is None:
            kind = _kind(frame)
            resampler = libav.av.AudioResampler("flt", layout or frame.layout, sample_rate)
            start_s = frame_s
        frame.pts = None  # counted from here on
        block = _samples(resampler.resample(frame))
        if len(block):
            yield start_s, block
            start_s = None
    if resampler is not None:
        yield start_s, _samples(resampler.resample(None))


def _kind(frame: Any) -> tuple[Any, ...]:
    return frame.sample_rate, frame.format.name, frame.layout.name, frame.layout.nb_channels


def _timed(frames: Iterable[Any]) -> Iterator[tuple[float | None, Any]]:
    """Yields (start, frame); the start (s) only where it is not the one that counting samples gives."""
    counted_s: float | None = None
    for frame, following in itertools.pairwise(itertools.chain(frames, [None])):
        length_s = frame.samples / frame.sample_rate
        stamp_s = _stamp(frame)
        next_s = None if following is None else _stamp(following)
        # A single stamp that departs is an error of the muxer: the next one must confirm it.
        confirmed_s = stamp_s if next_s is None else next_s - length_s
        if counted_s is None:
            counted_s = next(s for s in (stamp_s, confirmed_s, 0.0) if s is not None)
            yield counted_s, frame
        elif _departs(stamp_s, counted_s) and _departs(confirmed_s, counted_s):
            counted_s = stamp_s
            yield counted_s, frame
        else:
            yield None, frame
        counted_s += length_s


def _stamp(frame: Any) -> float | None:
    return None if frame.pts is None else float(frame.pts * frame.time_base)


def _departs(stamp_s: float | None, counted_s: float) -> bool:
    return stamp_s is not None and abs(stamp_s - counted_s) > MAX_DEPARTURE_S


def _samples(frames: list[Any]) -> Block:
    # Interleaved, because planar arrays stop at eight channels.
    blocks = [frame.to_ndarray().reshape(-1, frame.layout.nb_channels) for frame in frames]
    # Files of floats may hold numbers that are none: one of them would spoil all features.
    return (
        np.nan_to_num(np.concatenate(blocks), posinf=1, neginf=-1) if blocks else np.zeros((0, 1), np.float32)
    )


def audio_frames(blocks: Iterable[Block], sample_rate: int) -> Iterator[Any]:
    """Libav frames, with their time stamps, of blocks of one or two channels that follow each other."""
    start = 0
    for block in blocks:
        planes = np.ascontiguousarray(np.clip(block.T, -1, 1), np.float32)
        frame = libav.av.AudioFrame.from_ndarray(planes, "fltp", "mono" if len(planes) == 1 else "stereo")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
        yield frame
        start += len(block)


def mono_blocks(wave: Float[np.ndarray, "samples"]) -> Iterator[Block]:
    """An array in pieces that `audio_frames` takes."""
    for start in range(0, len(wave), BLOCK):
        yield wave[start : start + BLOCK, None].astype(np.float32)


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
            for frame in audio_frames(mono_blocks(samples), sample_rate):
                for converted in resampler.resample(frame):
                    container.mux(stream.encode(converted))
            container.mux(stream.encode(None))

"""What a media file holds."""

import dataclasses
import logging
import os
from typing import Any

from lhg_jax.media import libav
from lhg_jax.media.audio import SAMPLE_RATE, stream_audio
from lhg_jax.media.clock import read_clock
from lhg_jax.media.timing import read_timing
from lhg_jax.media.video import read_frames
from lhg_jax.util.errors import UserError

PADDING_S = 0.1  # encoders fill their last block: a header that ends so little before the samples is right
# A header that promises so much more than there is, in parts and seconds, is worth a word.
SHORT_RATIO, SHORT_S = 0.02, 0.5


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


def probe(path: str | os.PathLike) -> MediaInfo:
    """Describes a video, audio file or both. Reads the whole file once; of a video it decodes one frame.

    Raises:
      UserError: not there, not media, nothing to see or hear in it, or a video shorter than its header
        promises. Sound that is shorter is a warning.
    """
    with libav.open_input(path) as container:
        video, audio = libav.video_stream(container), libav.audio_stream(container)
        if video is None and audio is None:
            raise UserError(f"{path}: holds neither video nor sound")
        zero_s = read_clock(path).zero_s
        header_s = _header_s(container, zero_s)
        # `duration` counts from the earliest stream, the clock from its zero.
        start_s = (container.start_time or 0) / libav.av.time_base - zero_s
        is_guess = _is_guess(container, audio)
        rate, channels = (audio.rate, audio.channels) if audio is not None else (0, 0)
    if video is None:
        end_s = _sound_end(path, None if header_s is None else start_s + header_s, is_guess)
        return MediaInfo(str(path), False, True, 0, 0, 0.0, 0, end_s, 0.0, rate, channels)
    timing = read_timing(path)
    height, width = next(read_frames(path)).image.shape[:2]
    frames, span_s = len(timing.times_s), timing.end_s - float(timing.times_s[0])
    duration_s = max((header_s or 0.0) + start_s, timing.end_s)
    return MediaInfo(
        str(path), True, audio is not None, width, height, frames / span_s, frames, duration_s, timing.end_s,
        rate, channels,
    )  # fmt: skip


def _header_s(container: Any, zero_s: float) -> float | None:
    """How long the header says the file is, from its earliest stream on; None where it does not say."""
    if not container.duration:
        return None
    header_s = container.duration / libav.av.time_base
    # FFmpeg's Matroska files give the time of their end instead: hours, in a piece of a long recording.
    counts_from_0 = container.format.name.startswith("matroska") and header_s > zero_s
    return header_s - zero_s if counts_from_0 else header_s


def _is_guess(container: Any, audio: Any) -> bool:
    """Whether libav made up the duration from the file's size and the rate of its first packets."""
    if audio is None or not audio.bit_rate or not container.duration:
        return True
    guess_s = 8 * container.size / audio.bit_rate
    return abs(guess_s - container.duration / libav.av.time_base) < 0.01 * guess_s


def _sound_end(path: str | os.PathLike, header_s: float | None, is_guess: bool) -> float:
    """When the sound ends (s, to the millisecond): what can be decoded counts, not what a header says."""
    samples = sum(len(block) for block in stream_audio(path, SAMPLE_RATE))
    decoded_s = round(samples / SAMPLE_RATE, 3)
    if header_s is None or is_guess:
        return decoded_s
    if decoded_s - PADDING_S < header_s <= decoded_s:
        return header_s
    if header_s > decoded_s + max(SHORT_S, SHORT_RATIO * header_s):
        logging.getLogger(__name__).warning(
            "%s: only %.1f s of %.1f s of sound are there", path, decoded_s, header_s
        )
    return decoded_s

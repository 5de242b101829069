"""What there is of a speaker: files, or arrays. Both are read in the same way."""

import dataclasses
import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax import media
from lhg_jax.media import Frame
from lhg_jax.pipeline.arrays import require_images, require_sound
from lhg_jax.pipeline.timeline import Timeline
from lhg_jax.speech.words import Word, read_transcript
from lhg_jax.util.errors import UserError

log = logging.getLogger(__name__)
SLIDES_FPS = 8.0  # video slower than this (frames/s) is a row of stills


@runtime_checkable
class Source(Protocol):
    """A speaker, before anything is measured.

    Attributes:
      name: for messages; `transcript_name` that of the words.
      timeline: of the output's frames: the video's own, or 30 frames/s for sound alone.
      has_video: whether `frames` gives some.
      sound: what `media.VideoWriter` takes to put the speaker's sound into a video.
    """

    name: str
    transcript_name: str
    timeline: Timeline
    has_video: bool
    sound: dict[str, Any]

    @property
    def key(self) -> tuple | None:
        """Changes when one of the files does; None for what is in no file."""

    def wave(self) -> Float[np.ndarray, "samples"]:
        """The sound, 16 kHz mono."""

    def words(self) -> list[Word] | None:
        """What is said; None where nobody knows."""

    def frames(self) -> Iterator[Frame]:
        """The video's frames, from the start at each call."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """A speaker as arrays.

    Attributes:
      wave: mono sound in [-1, 1].
      sample_rate: of the sound, Hz.
      frames: RGB images in order; None for sound alone.
      fps: frames per second.
      transcript: the words with their times; None has the speech recognised, [] means that nobody speaks.
    """

    wave: Float[np.ndarray, "samples"]
    sample_rate: int = media.SAMPLE_RATE
    frames: UInt8[np.ndarray, "frames height width 3"] | None = None
    fps: float = 30.0
    transcript: Sequence[Word] | None = None


class ArraySource:
    """A `Source` of arrays. Raises `UserError` where they are empty, of another kind, or have no rate."""

    name = transcript_name = "clip"
    key = None

    def __init__(self, clip: Clip):
        if not len(clip.wave) or clip.sample_rate <= 0:
            raise UserError("clip: needs sound, and its sample rate")
        if clip.frames is not None and (not len(clip.frames) or clip.fps <= 0):
            raise UserError("clip: frames need at least one image, and a rate")
        require_sound(clip.wave, self.name)
        if clip.frames is not None:
            require_images(clip.frames, self.name, 4)
        self._clip = clip
        self.has_video = clip.frames is not None
        seconds = len(clip.wave) / clip.sample_rate
        self.timeline = (
            Timeline.of_sound(seconds)
            if clip.frames is None
            else Timeline.regular(len(clip.frames), clip.fps)
        )
        self._wave = resample(clip.wave, clip.sample_rate)
        self.sound: dict[str, Any] = {"audio": self._wave}

    def wave(self) -> Float[np.ndarray, "samples"]:
        """The sound, 16 kHz mono."""
        return self._wave

    def words(self) -> list[Word] | None:
        """Those of the clip."""
        return None if self._clip.transcript is None else list(self._clip.transcript)

    def frames(self) -> Iterator[Frame]:
        """The clip's images with their times."""
        images = () if self._clip.frames is None else self._clip.frames
        for image, start_s in zip(images, self.timeline.starts_s, strict=True):
            yield Frame(float(start_s), image)


class FileSource:
    """A `Source` of files: a video, or sound alone, also of another file. Nothing is decoded yet."""

    def __init__(self, speaker: Path | None, audio: Path | None, transcript: Path | None):
        """Raises `UserError` for files that cannot be used."""
        sound = audio or speaker
        assert sound is not None
        info = media.probe(speaker) if speaker else None
        self.info = info if info and info.has_video else None  # of the video
        self.has_video = self.info is not None
        self.path = speaker or sound
        self.name, self.transcript_name = str(self.path), str(transcript)
        self._sound, self._transcript = sound, transcript
        self.sound = {"audio_from": sound}
        self.key = fingerprint(speaker, audio, transcript)
        if self.info:
            self.timeline = Timeline(media.frame_times(self.path), self.info.video_end_s)
            if self.info.frames > 1 and self.info.fps < SLIDES_FPS:
                log.warning(
                    "%s: shows %.1f frames/s, and so will the listener (sound alone, by --audio, gives 30)",
                    self.path, self.info.fps,
                )  # fmt: skip
        else:
            self.timeline = Timeline.of_sound(media.probe(sound).duration_s)

    def wave(self) -> Float[np.ndarray, "samples"]:
        """The sound, 16 kHz mono."""
        return media.read_audio(self._sound)

    def words(self) -> list[Word] | None:
        """Those of the transcript."""
        return read_transcript(self._transcript) if self._transcript else None

    def frames(self) -> Iterator[Frame]:
        """Decoded one after another."""
        return media.read_frames(self.path)


AnyPath = str | os.PathLike


def find_source(speaker: AnyPath | Clip | None, audio: AnyPath | None, transcript: AnyPath | None) -> Source:
    """The speaker's files, looked at but not decoded, or arrays. Raises `UserError`."""
    if isinstance(speaker, Clip):
        if audio is not None or transcript is not None:
            raise UserError("clip: its sound and words are part of it, not files")
        return ArraySource(speaker)
    if speaker is None and audio is None:
        raise UserError("--speaker: a speaker is needed (or --audio, or --motion)")
    return FileSource(as_path(speaker), as_path(audio), as_path(transcript))


def as_path(path: AnyPath | None) -> Path | None:
    """`Path` of a path; None of None."""
    return None if path is None else Path(path)


def fingerprint(*paths: str | os.PathLike | None) -> tuple:
    """Changes when one of the files does; files that are not there have one, too."""

    def of(path: str | os.PathLike | None) -> tuple | None:
        if path is None:
            return None
        try:
            found = os.stat(path)
        except OSError:
            return (os.path.abspath(path),)
        return os.path.abspath(path), found.st_mtime_ns, found.st_size

    return tuple(map(of, paths))


def resample(wave: Float[np.ndarray, "samples"], rate: int) -> Float[np.ndarray, "out_samples"]:
    """At the 16 kHz that the model hears."""
    from scipy.signal import resample_poly

    wave = np.asarray(wave, np.float32)
    if rate == media.SAMPLE_RATE:
        return wave
    common = math.gcd(rate, media.SAMPLE_RATE)
    return resample_poly(wave, media.SAMPLE_RATE // common, rate // common).astype(np.float32)

"""From the files of one conversation to an example: motion of both people, sound and words of the speaker."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax import media
from lhg_jax.contract import VICO_COMPAT, Example, FeatureSpec, spec_to_json
from lhg_jax.data.schema import ClipInfo, assemble, presumed_features
from lhg_jax.faces.precomputed import at_video_rate, read_coefficients
from lhg_jax.faces.tracker_options import TrackerOptions
from lhg_jax.motion import FRAME_RATE, Motion, require_same_space
from lhg_jax.moving_anchor import relative_to_anchor
from lhg_jax.preparation.clip_files import ClipFiles
from lhg_jax.preparation.stage_clock import timed
from lhg_jax.speech.bert import shared_encoder
from lhg_jax.speech.causal import causal_spec, extract_causal_speech
from lhg_jax.speech.extract import extract_speech
from lhg_jax.speech.vico_compat import SAMPLE_RATE as VICO_SAMPLE_RATE
from lhg_jax.speech.vico_compat import vico_audio
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.speech.words import Word, misfit, read_transcript, to_json
from lhg_jax.util.errors import UserError, about

RECIPE_VERSION = 4  # raised when the same files would give other clips: old clips are then made again
LENGTH_TOLERANCE = 2  # frames by which the two videos may differ, and the sound from them without a note
FPS_TOLERANCE = 0.1
WaveAt = Callable[[int], Float[np.ndarray, "samples"]]  # the sound at a rate (Hz)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How clips are made of files.

    Attributes:
      words: who recognises the words of clips without a transcript, and who reads words.
      causal: features that hear no future; words only of transcripts, motion relative to a moving anchor.
      audio: `full`, or `vico_compat` for the baseline's 45 columns in place of the 39 MFCC.
      tracking: who finds the faces' landmarks.
    """

    words: WordOptions = WordOptions()  # noqa: RUF009 (frozen)
    audio: str = "full"
    causal: bool = False
    tracking: TrackerOptions = dataclasses.field(default=TrackerOptions(), repr=False)  # see `stamps`

    def stamps(self) -> list[tuple[str, int, int]]:
        """Name, size (bytes) and date (ns) of the files of models that are not the package's own."""
        return [*self.words.stamps(), *self.tracking.stamps()]

    @property
    def motion_source(self) -> str:
        """Of `ClipInfo`."""
        return "tracked" if self.tracking.tracker == "dlib" else f"tracked by {self.tracking.tracker}"


@dataclasses.dataclass(frozen=True)
class MediaJob:
    """A clip to be made of media files; see `jobs.Job`."""

    clip: ClipFiles
    recipe: Recipe
    key: str

    @classmethod
    def plan(cls, clip: ClipFiles, recipe: Recipe) -> "MediaJob":
        """The key changes with the recipe, the annotations and each file's name, size and date."""
        stats = [os.stat(path) for path in clip.paths()]
        stamps = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        text = repr((RECIPE_VERSION, clip, recipe, stamps, recipe.stamps()))
        return cls(clip, recipe, hashlib.sha256(text.encode()).hexdigest()[:24])

    @property
    def uuid(self) -> str:
        """Name of the clip."""
        return self.clip.uuid

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.clip.split

    def make(self) -> tuple[Example, ClipInfo]:
        """See `extract`."""
        return extract(self.clip, self.recipe)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was heard and seen of one conversation, before features are made of it.

    Attributes:
      wave: the speaker's sound, 16 kHz.
      wave_at: the same at another rate (Hz).
      speaker, listener: 30 frames/s, from the same moment on.
      frames: T, of the clip; both motions have at least as many.
      words: of the speaker.
      transcribed: whether they come from a transcript, and not from a recogniser.
    """

    wave: Float[np.ndarray, "samples"]
    wave_at: WaveAt
    speaker: Motion
    listener: Motion
    frames: int
    words: list[Word]
    transcribed: bool


def extract(clip: ClipFiles, recipe: Recipe) -> tuple[Example, ClipInfo]:
    """Reads and measures everything; what is cheap to find wrong is looked at before faces are tracked.

    Raises:
      UserError: a file cannot be used, a face is not found, or the two people's lengths or spaces differ.
    """
    notes: list[str] = []
    sound = clip.sound or clip.speaker
    if sound is None:
        raise UserError("neither the speaker's sound nor a video of the speaker")
    words = read_transcript(clip.transcript) if clip.transcript else None
    with timed("sound"):
        wave = media.read_audio(sound)
    _compare_videos(clip, notes)
    with timed("face tracking"):
        speaker = _motion(clip.speaker_coefficients, clip.speaker, recipe, notes)
        listener = _motion(clip.listener_coefficients, clip.listener, recipe, notes)
    require_same_space("the speaker's motion", speaker.space, "the listener's motion", listener.space)
    frames = _common_length(len(speaker), len(listener), notes)
    _compare_sound(len(wave) / media.SAMPLE_RATE * FRAME_RATE, frames, notes)
    if words is None:
        with timed("recognition"):
            words = recipe.words.recogniser()(wave)
    elif clip.transcript and (message := misfit(words, frames / FRAME_RATE)):
        notes.append(f"{clip.transcript.name}: {message}")
    wave_at = functools.partial(media.read_audio, sound)
    transcribed = clip.transcript is not None
    example, spec = make_features(
        Measured(wave, wave_at, speaker, listener, frames, words, transcribed), recipe
    )
    info = ClipInfo(
        uuid=clip.uuid,
        video_id=clip.video_id,
        speaker_id=clip.speaker_id,
        listener_id=clip.listener_id,
        attitude=clip.attitude,
        space=listener.space.name,
        motion_source="precomputed" if clip.listener_coefficients else recipe.motion_source,
        transcript=to_json(words),
        notes="\n".join(notes),
        features=spec_to_json(spec),
    )
    return example, info


def make_features(measured: Measured, recipe: Recipe) -> tuple[Example, FeatureSpec]:
    """The clip as a model sees it, and what its numbers mean."""
    wave, frames, words = measured.wave, measured.frames, measured.words
    speaker, listener = measured.speaker, measured.listener
    with timed("features"):
        encoder = shared_encoder(recipe.words.word_encoder)
        if recipe.causal:
            known = words if measured.transcribed else []
            speech = extract_causal_speech(wave, frames, known, encoder)
            example = assemble(speech, relative_to_anchor(speaker), listener)
        else:
            example = assemble(extract_speech(wave, frames, words, encoder), speaker, listener)
    recipe_name, columns = AUDIO[recipe.audio]
    example = example.replace(
        features=example.features.replace(mfcc=columns(measured.wave_at, frames, example.features.mfcc))
    )
    spec = presumed_features(example, listener.space.name)
    spec = dataclasses.replace(spec, mfcc=recipe_name, words=encoder.name)
    return example, causal_spec(spec) if recipe.causal else spec


def _compare_videos(clip: ClipFiles, notes: list[str]) -> None:
    """Looks at both videos without decoding them, as far as they are there."""
    lengths = []
    for path in (clip.speaker, clip.listener):
        if path is None:
            continue
        info = media.probe(path)
        if not info.has_video:
            raise UserError(f"{path}: has no video")
        if abs(info.fps - FRAME_RATE) > FPS_TOLERANCE:
            notes.append(f"{path.name}: {info.fps:.2f} frames/s, resampled to {FRAME_RATE:.0f}")
        lengths.append(round(info.video_end_s * FRAME_RATE))
    if len(lengths) == 2 and abs(lengths[0] - lengths[1]) > LENGTH_TOLERANCE:
        raise UserError(_unequal(*lengths))


def _motion(coefficients: Path | None, video: Path | None, recipe: Recipe, notes: list[str]) -> Motion:
    """At 30 frames/s: read where it is precomputed, else tracked."""
    if coefficients is not None:
        motion = read_coefficients(coefficients)
        if video is None:
            return motion
        info = media.probe(video)
        return at_video_rate(coefficients, motion, info.frames, info.fps)
    assert video is not None  # the listing sees to it
    with about(video):
        fit = recipe.tracking.load().track_video(media.read_frames(video))
    notes += [f"{video.name}: {warning}" for warning in fit.warnings]
    return fit.motion


def _common_length(speaker: int, listener: int, notes: list[str]) -> int:
    if abs(speaker - listener) > LENGTH_TOLERANCE:
        raise UserError(_unequal(speaker, listener))
    if speaker != listener:
        notes.append(f"speaker {speaker} frames, listener {listener}: the longer one is cut")
    return min(speaker, listener)


def _unequal(speaker: int, listener: int) -> str:
    return f"unequal lengths: speaker {speaker} frames, listener {listener} (at 30/s)"


def _compare_sound(sound: float, frames: int, notes: list[str]) -> None:
    """Both lengths in frames."""
    if abs(sound - frames) > LENGTH_TOLERANCE:
        mended = "filled up with silence" if sound < frames else "cut"
        notes.append(f"sound of {sound:.0f} frames for {frames} frames of video: {mended}")


def _full_audio(
    _: WaveAt, frames: int, mfcc: Float[np.ndarray, "frames 39"]
) -> Float[np.ndarray, "frames 39"]:
    """MFCC of the whole sound (`speech.mfcc`)."""
    return mfcc


def _vico_audio(
    wave_at: WaveAt, frames: int, _: Float[np.ndarray, "frames 39"]
) -> Float[np.ndarray, "frames 45"]:
    """The baseline's columns, of the sound at the rate that they need."""
    return vico_audio(wave_at(VICO_SAMPLE_RATE), frames)


# Name of the recipe in `FeatureSpec.mfcc`, and what gives its columns.
AUDIO: dict[str, tuple[str, Callable[[WaveAt, int, np.ndarray], np.ndarray]]] = {
    "full": (FeatureSpec.mfcc, _full_audio),
    "vico_compat": (VICO_COMPAT, _vico_audio),
}

"""Clips cut out of long recordings: where each person is seen and heard in them, and the clip made of it."""

import dataclasses
import functools
import hashlib
from pathlib import Path

from lhg_jax import media
from lhg_jax.contract import Example, spec_to_json
from lhg_jax.data.gestures import Gesture
from lhg_jax.data.gestures import to_json as gestures_to_json
from lhg_jax.data.schema import ClipInfo
from lhg_jax.media import WHOLE, FileSlice, Part
from lhg_jax.motion import FRAME_RATE, Motion
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.extraction import LENGTH_TOLERANCE, Measured, Recipe, make_features
from lhg_jax.preparation.stage_clock import timed
from lhg_jax.preparation.turns import Span, frames_in
from lhg_jax.speech.cues import Word
from lhg_jax.speech.words import to_json
from lhg_jax.util.errors import UserError, about

RECIPE_VERSION = 2  # raised when the same recordings would give other clips: old clips are then made again
LEAST_SEEN = 0.25  # share of a clip in which the listener must be seen to listen


@dataclasses.dataclass(frozen=True)
class View:
    """Where a person is seen: a part of the picture of a video."""

    video: Path | FileSlice
    part: Part = WHOLE


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """A passage of a recorded conversation, in which one person speaks and another listens.

    Attributes:
      uuid, split, video_id, speaker_id, listener_id: see `clip_files.ClipFiles`.
      span: in the recording, seconds on the clock of all its files.
      speaker, listener: where they are seen.
      sound, channel: where the speaker is heard; None: the mean of all channels.
      words: the speaker's, in seconds from the start of the span; None: recognise them.
      others: when anybody but the speaker speaks or laughs, from the start of the span.
      gestures: the listener's, from the start of the span; None: nobody has labelled them.
    """

    uuid: str
    split: str
    video_id: str
    speaker_id: str
    listener_id: str
    span: Span
    speaker: View
    listener: View
    sound: Path | FileSlice
    channel: int | None = None
    words: tuple[Word, ...] | None = None
    others: tuple[Span, ...] = ()
    gestures: tuple[Gesture, ...] | None = None

    def paths(self) -> list[Path | FileSlice]:
        """All files."""
        return [self.speaker.video, self.listener.video, self.sound]


@dataclasses.dataclass(frozen=True)
class ExcerptListing:
    """What a source of long recordings holds."""

    excerpts: list[Excerpt]
    left_out: list[LeftOut]


def words_of(words: tuple[Word, ...], span: Span) -> tuple[Word, ...]:
    """The words that are said in a span, in seconds from its start."""
    inside = (word for word in words if word.start_s >= span.start_s and word.end_s <= span.end_s)
    return tuple(Word(w.text, w.start_s - span.start_s, w.end_s - span.start_s) for w in inside)


@dataclasses.dataclass(frozen=True)
class ExcerptJob:
    """A clip to be made of an excerpt; see `clip_jobs.Job`."""

    excerpt: Excerpt
    recipe: Recipe
    key: str

    @classmethod
    def plan(cls, excerpt: Excerpt, recipe: Recipe) -> "ExcerptJob":
        """The key changes with the recipe, the annotations and each file's name, size and date."""
        stats = [path.stat() for path in excerpt.paths()]
        stamps = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        text = repr((RECIPE_VERSION, excerpt, recipe, stamps, recipe.stamps()))
        return cls(excerpt, recipe, hashlib.sha256(text.encode()).hexdigest()[:24])

    @property
    def uuid(self) -> str:
        """Name of the clip."""
        return self.excerpt.uuid

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.excerpt.split

    def make(self) -> tuple[Example, ClipInfo]:
        """See `extract_excerpt`."""
        return extract_excerpt(self.excerpt, self.recipe)


def extract_excerpt(excerpt: Excerpt, recipe: Recipe) -> tuple[Example, ClipInfo]:
    """Hears the speaker and tracks both faces, in this stretch of their recordings alone.

    While anybody but the speaker is heard, the listener counts as not seen: what they do then is no answer to
    the speaker, or moves their mouth.

    Raises:
      UserError: a file cannot be used or ends before, a face is not found, or there is too little listening.
    """
    span, notes = excerpt.span, list[str]()
    wave_at = functools.partial(
        media.excerpt_sound, excerpt.sound, span.start_s, span.end_s, channel=excerpt.channel
    )
    with timed("sound"):
        wave = wave_at(media.SAMPLE_RATE)
    frames = round(span.length_s * FRAME_RATE)
    frames = _shorter(excerpt.sound, round(len(wave) / media.SAMPLE_RATE * FRAME_RATE), frames)
    with timed("face tracking"):
        speaker, listener = (
            _motion(view, span, recipe, notes) for view in (excerpt.speaker, excerpt.listener)
        )
    for view, motion in ((excerpt.speaker, speaker), (excerpt.listener, listener)):
        frames = _shorter(view.video, len(motion), frames)
    words = excerpt.words
    if words is None:
        with timed("recognition"):
            words = tuple(recipe.words.recogniser()(wave))
    listener = _listening(listener, excerpt.others, frames)
    measured = Measured(wave, wave_at, speaker, listener, frames, list(words), excerpt.words is not None)
    example, spec = make_features(measured, recipe)
    info = ClipInfo(
        uuid=excerpt.uuid,
        video_id=excerpt.video_id,
        speaker_id=excerpt.speaker_id,
        listener_id=excerpt.listener_id,
        space=listener.space.name,
        motion_source=recipe.motion_source,
        transcript=to_json(list(words)),
        notes="\n".join(notes),
        features=spec_to_json(spec),
        gestures=gestures_to_json(excerpt.gestures),
    )
    return example, info


def _motion(view: View, span: Span, recipe: Recipe, notes: list[str]) -> Motion:
    with about(view.video):
        frames = media.excerpt_frames(view.video, *span, part=view.part)
        fit = recipe.tracking.load().track_video(frames)
    notes += [f"{view.video.name}: {warning}" for warning in fit.warnings]
    return fit.motion


def _shorter(path: Path | FileSlice, there: int, frames: int) -> int:
    """The least number of frames. Raises `UserError` for a file that ends well before the passage."""
    if there < frames - LENGTH_TOLERANCE:
        raise UserError(f"{path}: ends after {there} of {frames} frames (at 30/s) of the passage")
    return min(there, frames)


def _listening(listener: Motion, others: tuple[Span, ...], frames: int) -> Motion:
    """The listener's motion, seen only while nobody but the speaker is heard."""
    seen = listener.seen & ~frames_in(others, len(listener))
    if seen[:frames].mean() < LEAST_SEEN:
        raise UserError(
            f"the listener is seen to listen in {seen[:frames].sum()} of {frames} frames "
            f"(at least {LEAST_SEEN:.0%} are needed)"
        )
    return dataclasses.replace(listener, valid=seen)

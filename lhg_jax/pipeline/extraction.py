"""What the model hears and sees of a speaker."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lhg_jax import faces
from lhg_jax.contract import SpeakerFeatures
from lhg_jax.faces.precomputed import at_video_rate, read_coefficients
from lhg_jax.media import SAMPLE_RATE
from lhg_jax.motion import FRAME_RATE, CoefficientSpace, Motion
from lhg_jax.pipeline.source import AnyPath, FileSource, Source
from lhg_jax.pipeline.stages import Stages
from lhg_jax.speech.asr import no_words
from lhg_jax.speech.extract import SpeechFeatures, WordEncoder, extract_speech
from lhg_jax.speech.words import Word, misfit
from lhg_jax.util.errors import about

log = logging.getLogger(__name__)
# Sound and video whose lengths differ by more, in seconds and in parts, are worth a word.
UNEQUAL_S, UNEQUAL_PART = 0.5, 0.02


def hear(
    source: Source, recognise: Callable[..., list[Word]], encoder: WordEncoder, stages: Stages
) -> SpeechFeatures:
    """Sound and words. The wave is let go of before the video is read: memory is for one of them."""
    with stages.stage("sound"):
        wave = source.wave()
    if message := unequal(len(wave) / SAMPLE_RATE, source):
        log.warning("%s: %s", source.name, message)
    words = source.words()
    if words and (message := misfit(words, source.timeline.end_s)):
        log.warning("%s: %s", source.transcript_name, message)
    if words is None and recognise is no_words:
        words = []
    elif words is None:
        with stages.stage("recognition"):
            words = recognise(wave)
    with stages.stage("speech features"):
        return extract_speech(wave, source.timeline.model_frames, words, encoder)


def unequal(sound_s: float, source: Source) -> str | None:
    """What to tell the user where sound and video are of different lengths, else None."""
    video_s = source.timeline.end_s
    apart_s = sound_s - video_s
    if not source.has_video or abs(apart_s) < max(UNEQUAL_S, UNEQUAL_PART * video_s):
        return None
    if apart_s < 0:
        return f"{sound_s:.1f} s of sound for {video_s:.1f} s of video: the rest is silence"
    return (
        f"{sound_s:.1f} s of sound for {video_s:.1f} s of video: the listener ends with the video "
        "(sound alone, by --audio, is heard to its end)"
    )


def watch(source: Source, tracker: faces.Tracker, stages: Stages) -> Motion:
    """The motion of the speaker's face."""
    with stages.stage("tracking", len(source.timeline.starts_s)) as advance, about(source.name):
        fit = tracker.track_video(source.frames(), advance)
    for message in fit.warnings:
        log.warning("%s: %s", source.name, message)
    return fit.motion


def measured(motion: AnyPath | Motion, source: Source | None = None) -> Motion:
    """A motion from a file, or as it is; at its video's rate."""
    found = motion if isinstance(motion, Motion) else read_coefficients(Path(motion))
    if not isinstance(motion, Motion) and isinstance(source, FileSource) and source.info:
        found = at_video_rate(motion, found, source.info.frames, source.info.fps)
    return found


def join(speech: SpeechFeatures, motion: Motion | None, space: CoefficientSpace) -> SpeakerFeatures:
    """Both together; without a motion the speaker is not seen."""
    frames = len(speech.word_index)
    values, seen = np.zeros((frames, space.size), np.float32), np.zeros(frames, bool)
    if motion is not None:
        times_s = (np.arange(frames) + 0.5) / FRAME_RATE
        values, seen = motion.at_times(times_s), motion.bridged_at(times_s)
    return SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_index=speech.word_index,
        speaker_motion=values,
        speaker_seen=seen,
        in_clip=np.ones(frames, bool),
    )

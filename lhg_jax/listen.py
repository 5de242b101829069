"""The pipeline for one pair: perceive the speaker, look at the portrait, imagine the listener, render."""

import contextlib
import dataclasses
import functools
import itertools
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d

from lhg_jax import faces, media, render
from lhg_jax.features import SpeakerFeatures
from lhg_jax.motion import FRAME_RATE, Motion, load_motion, require_same_space, save_motion
from lhg_jax.pretrained import ListenerModel, load_listener
from lhg_jax.progress import StageTimes, warn
from lhg_jax.speech.asr import RECOGNISERS
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.extract import extract_speech
from lhg_jax.speech.words import Word, read_transcript


@dataclasses.dataclass(frozen=True)
class Request:
    """One clip to make.

    Attributes:
      listener: portrait, an image (or a video, whose first frame is taken).
      output: the listener's video.
      speaker: video, or sound alone.
      audio: sound that replaces the speaker's own.
      transcript: .srt .vtt .json .TextGrid; without it the speech is recognised.
      motion: a saved motion to render instead of imagining one.
      save_motion: where the rendered motion goes, .npz.
      side_by_side: a second video with the speaker on the left.
    """

    listener: Path
    output: Path
    speaker: Path | None = None
    audio: Path | None = None
    transcript: Path | None = None
    motion: Path | None = None
    save_motion: Path | None = None
    side_by_side: Path | None = None


@dataclasses.dataclass(frozen=True)
class Style:
    """How the imagined motion is changed before it is rendered.

    Attributes:
      exp_scale: factor on the expression's departure from the portrait's own, >= 0.
      pose_scale: the same for the head pose.
      smooth: standard deviation of a Gaussian along time, in seconds; 0 is off.
    """

    exp_scale: float = 1.0
    pose_scale: float = 1.0
    smooth: float = 0.0

    def apply(self, motion: Motion, reference: Float[np.ndarray, "coeff"]) -> Motion:
        """Scales departures from `reference` and smooths along time."""
        scale = np.full(motion.space.size, self.pose_scale, np.float32)
        scale[motion.space.slice("exp")] = self.exp_scale
        values = reference + scale * (motion.values - reference)
        if self.smooth > 0:
            values = gaussian_filter1d(values, self.smooth * motion.fps, axis=0, mode="nearest")
        return dataclasses.replace(motion, values=values.astype(np.float32))


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When each output frame is shown: starts (s) and the end of the last one."""

    starts_s: Float[np.ndarray, "frames"]
    end_s: float

    @property
    def centres_s(self) -> Float[np.ndarray, "frames"]:
        """Middles of the frames' spans, where motion is sampled."""
        ends = np.append(self.starts_s[1:], self.end_s)
        return (self.starts_s + ends) / 2

    @property
    def model_frames(self) -> int:
        """Frames at 30/s that cover the clip."""
        return max(1, math.ceil(self.end_s * FRAME_RATE - 1e-6))


class Pipeline:
    """The stages, loaded when first needed and kept for any number of pairs; `lhg_jax.sample` is its command.

    Attributes:
      checkpoint: weights of the listener (.safetensors), or None for the demo model in the package.
      renderer: name in `render.RENDERERS`.
      asr: name in `speech.asr.RECOGNISERS`.
      face: which face of the portrait, from the left, or None for the largest.
    """

    def __init__(self, *, checkpoint: Path | None, renderer: str, asr: str, face: int | None):
        self.renderer_class = render.get_renderer(renderer)
        self.recognise = RECOGNISERS[asr]
        self.face = face
        self.checkpoint = checkpoint
        self.times = StageTimes()

    @functools.cached_property
    def model(self) -> ListenerModel:
        """The listener generator."""
        return load_listener(self.checkpoint)

    @functools.cached_property
    def encoder(self) -> BertEncoder:
        """The word encoder."""
        return BertEncoder.load(None)

    @functools.cached_property
    def tracker(self):
        """The face tracker, in the space of the renderer."""
        return faces.get_tracker(self.renderer_class.space)

    def run(self, request: Request, style: Style) -> float:
        """Makes one clip; returns its length in seconds. Raises `UserError` for input that cannot be used."""
        with self.times.stage("portrait"):
            portrait = media.read_image(request.listener)
            fit = self.tracker.track_image(portrait, self.face)
        for message in fit.warnings:
            warn(f"{request.listener}: {message}")
        motion, timeline = self.saved_motion(request) if request.motion else self.imagine(request, fit.values)
        motion = style.apply(motion, fit.values)
        if request.save_motion:
            save_motion(request.save_motion, motion)
        self.render(request, portrait, fit, motion, timeline)
        return timeline.end_s

    def saved_motion(self, request: Request) -> tuple[Motion, Timeline]:
        """A motion from a file, on the speaker's time line where there is a speaker, else on its own."""
        motion = load_motion(request.motion)
        require_same_space(str(request.motion), motion.space, "the renderer", self.renderer_class.space)
        if request.speaker or request.audio:
            return motion, speaker_timeline(request)
        return motion, Timeline(np.arange(len(motion)) / motion.fps, len(motion) / motion.fps)

    def imagine(self, request: Request, first_frame: Float[np.ndarray, "coeff"]) -> tuple[Motion, Timeline]:
        """The listener's motion for a speaker."""
        require_same_space("the checkpoint", self.model.space, "the renderer", self.renderer_class.space)
        timeline = speaker_timeline(request)
        features = self.perceive(request, timeline)
        with self.times.stage("listener", self.model.count_windows(features.frames)) as advance:
            values = self.model.generate(features, first_frame, advance)
        return Motion(self.model.space, values), timeline

    def perceive(self, request: Request, timeline: Timeline) -> SpeakerFeatures:
        """Everything the model hears and sees of the speaker."""
        frames = timeline.model_frames
        motion = self.watch(request)
        sound = request.audio or request.speaker
        with self.times.stage("sound"):
            wave = media.read_audio(sound)
        words = self.words(request, wave)
        with self.times.stage("speech features"):
            speech = extract_speech(wave, frames, words, self.encoder)
        seen = np.zeros((frames, self.model.space.size), np.float32)
        if motion is not None:
            seen = motion.at_times((np.arange(frames) + 0.5) / FRAME_RATE)
        return SpeakerFeatures(
            log_mel=speech.log_mel,
            mfcc=speech.mfcc,
            word_table=speech.word_table,
            word_of_frame=speech.word_of_frame,
            motion=seen,
            has_motion=np.asarray(motion is not None),
            valid=np.ones(frames, bool),
        )

    def watch(self, request: Request) -> Motion | None:
        """The speaker's motion, or None where there is sound alone."""
        if request.speaker is None or not (info := media.probe(request.speaker)).has_video:
            return None
        with self.times.stage("tracking", info.frames) as advance:
            fit = self.tracker.track_video(media.read_frames(request.speaker), advance)
        for message in fit.warnings:
            warn(f"{request.speaker}: {message}")
        return fit.motion

    def words(self, request: Request, wave: Float[np.ndarray, "samples"]) -> list[Word]:
        """What is said and when."""
        if request.transcript:
            return read_transcript(request.transcript)
        with self.times.stage("recognition"):
            return self.recognise(wave)

    def render(
        self, request: Request, portrait: UInt8[np.ndarray, "h w 3"], fit, motion: Motion, timeline: Timeline
    ):
        """Writes the listener's video, and the pair side by side where asked for."""
        images = self.renderer_class(portrait, fit).render(motion.at_times(timeline.centres_s))
        speakers = media.read_frames(request.speaker) if request.side_by_side else itertools.repeat(None)
        with (
            contextlib.ExitStack() as stack,
            self.times.stage("rendering", len(timeline.starts_s)) as advance,
        ):
            listener = stack.enter_context(open_writer(request.output, portrait.shape, timeline, request))
            pair = None
            for image, speaker in zip(images, speakers, strict=False):
                listener.write(image)
                if speaker is not None:
                    both = media.side_by_side(speaker.image, image)
                    pair = pair or stack.enter_context(
                        open_writer(request.side_by_side, both.shape, timeline, request)
                    )
                    pair.write(both)
                advance()


def open_writer(
    path: Path, shape: tuple[int, ...], timeline: Timeline, request: Request
) -> media.VideoWriter:
    """A writer of frames of `shape` (H, W, 3) on the time line, with the speaker's sound."""
    height, width = shape[:2]
    return media.VideoWriter(
        path,
        width,
        height,
        timeline.starts_s,
        end_s=timeline.end_s,
        audio_from=request.audio or request.speaker,
    )


def speaker_timeline(request: Request) -> Timeline:
    """The speaker's own frame times, or 30 frames/s where there is sound alone."""
    if request.speaker and (info := media.probe(request.speaker)).has_video:
        return Timeline(media.frame_times(request.speaker), info.video_end_s)
    info = media.probe(request.audio or request.speaker)
    frames = max(1, math.ceil(info.duration_s * FRAME_RATE - 1e-6))
    return Timeline(np.arange(frames) / FRAME_RATE, frames / FRAME_RATE)

"""The pipeline for one pair: perceive the speaker, look at the portrait, imagine the listener, render."""

import contextlib
import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax import faces, media
from lhg_jax.contract import FeatureSpec, SpeakerFeatures
from lhg_jax.draw_options import DrawOptions
from lhg_jax.faces.precomputed import at_video_rate, read_coefficients
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.live_link import write_live_link
from lhg_jax.motion import FRAME_RATE, Motion, require_same_space, save_motion
from lhg_jax.request import Request, Speaker, Style, Timeline, find_speaker
from lhg_jax.restore import Restorer
from lhg_jax.speech.asr import RECOGNISERS
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.extract import SpeechFeatures, extract_speech
from lhg_jax.speech.words import Word, misfit, read_transcript
from lhg_jax.util.errors import about
from lhg_jax.util.progress import StageTimes, warn


class Pipeline:
    """The stages, loaded when first needed and kept for any number of pairs; see `lhg_jax.sample`."""

    def __init__(
        self,
        *,
        checkpoint: Path | None,
        renderer: Any,
        restorer: Restorer,
        tracker_weights: Path | None,
        asr: str,
        face: int | None,
        drawing: DrawOptions | None = None,
    ):
        """Loads nothing yet.

        Args:
          checkpoint: weights of the listener (.safetensors), or None for the demo model in the package.
          renderer: what `render.load_renderer` gave; its space decides on the tracker.
          restorer: what `restore.load_restorer` gave.
          tracker_weights: of the face tracker, or None for the default one, which has its own.
          asr: name in `speech.asr.RECOGNISERS`.
          face: which face of the portrait, from the left, or None for the largest.
          drawing: which listeners are drawn, and how many; None for one as learned.
        """
        self.renderer = renderer
        self.restorer = restorer
        self.tracker_weights = tracker_weights
        self.recognise = RECOGNISERS[asr]
        self.face = face
        self.drawing = drawing or DrawOptions()
        self.checkpoint = checkpoint
        self.times = StageTimes()

    @functools.cached_property
    def model(self) -> ListenerModel:
        """The listener generator."""
        model = load_listener(self.checkpoint)
        require_same_space("the checkpoint", model.space, "the renderer", self.renderer.space)
        return model

    @functools.cached_property
    def encoder(self) -> BertEncoder:
        """The word encoder."""
        return BertEncoder.load(None)

    @functools.cached_property
    def tracker(self):
        """The face tracker, in the space of the renderer."""
        return faces.get_tracker(self.renderer.space, self.tracker_weights)

    def run(self, request: Request, style: Style) -> float:
        """Makes one clip; returns its length in seconds. Raises `UserError` for input that cannot be used."""
        speaker = find_speaker(request)
        with self.times.stage("portrait"), about(request.listener):
            portrait = media.read_image(request.listener)
            fit = self.tracker.track_image(portrait, self.face)
        for message in fit.warnings:
            warn(f"{request.listener}: {message}")
        if request.motion:
            motions = [self.measured_motion(request.motion)]
        else:
            assert speaker is not None  # the command line sees to it
            motions = self.imagine(speaker, request, fit.values)
        timeline = speaker.timeline if speaker else Timeline.regular(len(motions[0]), motions[0].fps)
        for one, motion in zip(request.numbered(len(motions)), motions, strict=True):
            motion = style.apply(motion, fit.values)
            if one.save_motion:
                save_motion(one.save_motion, motion)
            if one.export_motion:
                write_live_link(one.export_motion, motion, timeline.starts_s, timeline.end_s)
            with about(request.listener):
                images = self.renderer(portrait, fit).animate(motion, timeline.centres_s)
            self.write(one, self.restorer(images), timeline, speaker)
        return timeline.end_s

    def measured_motion(self, path: Path) -> Motion:
        """A motion from a file, in the renderer's space."""
        motion = read_coefficients(path)
        require_same_space(str(path), motion.space, "the renderer", self.renderer.space)
        return motion

    def imagine(
        self, speaker: Speaker, request: Request, first_frame: Float[np.ndarray, "coeff"]
    ) -> list[Motion]:
        """The motions of listeners to one speaker."""
        model = self.model  # before the slow stages: it may be the wrong file
        given = FeatureSpec(words=self.encoder.name, word_size=self.encoder.size, space=model.space.name)
        model.require_features("this command", given, "it makes no other features")
        draw = self.drawing.draw(model)
        features = self.perceive(speaker, request)
        with self.times.stage("listener", model.count_windows(features.frames)) as advance:
            motions = model.draw(features, first_frame, draw, self.drawing.samples, advance)
        return [Motion(model.space, values) for values in motions]

    def perceive(self, speaker: Speaker, request: Request) -> SpeakerFeatures:
        """Everything the model hears and sees of the speaker."""
        frames = speaker.timeline.model_frames
        motion = self.measured_motion(request.speaker_motion) if request.speaker_motion else None
        if request.speaker_motion and motion and speaker.video:
            info = media.probe(speaker.video)
            motion = at_video_rate(request.speaker_motion, motion, info.frames, info.fps)
        speech = self.hear(speaker, request.transcript)
        motion = self.watch(speaker) if motion is None else motion
        values, seen = np.zeros((frames, self.model.space.size), np.float32), np.zeros(frames, bool)
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

    def hear(self, speaker: Speaker, transcript: Path | None) -> SpeechFeatures:
        """Sound and words. The wave is let go of before the video is read: memory is for one of them."""
        with self.times.stage("sound"):
            wave = media.read_audio(speaker.sound)
        words = self.understand(wave, transcript, speaker.timeline.end_s)
        with self.times.stage("speech features"):
            return extract_speech(wave, speaker.timeline.model_frames, words, self.encoder)

    def understand(
        self, wave: Float[np.ndarray, "samples"], transcript: Path | None, clip_s: float
    ) -> list[Word]:
        """What is said and when."""
        if transcript:
            words = read_transcript(transcript)
            if message := misfit(words, clip_s):
                warn(f"{transcript}: {message}")
            return words
        with self.times.stage("recognition"):
            return self.recognise(wave)

    def watch(self, speaker: Speaker) -> Motion | None:
        """The speaker's motion, or None where there is sound alone."""
        if speaker.video is None:
            return None
        frames = len(speaker.timeline.starts_s)
        with self.times.stage("tracking", frames) as advance, about(speaker.video):
            fit = self.tracker.track_video(media.read_frames(speaker.video), advance)
        for message in fit.warnings:
            warn(f"{speaker.video}: {message}")
        return fit.motion

    def write(self, request: Request, images, timeline: Timeline, speaker: Speaker | None) -> None:
        """Writes the listener's video, and the pair side by side where asked for."""
        with contextlib.ExitStack() as stack:
            advance = stack.enter_context(self.times.stage("rendering", len(timeline.starts_s)))

            def writer(path: Path, image: np.ndarray) -> media.VideoWriter:
                sound = speaker.sound if speaker else None
                size = image.shape[1], image.shape[0]
                new = media.VideoWriter(
                    path, *size, timeline.starts_s, end_s=timeline.end_s, audio_from=sound
                )
                return stack.enter_context(new)

            listener = pair = None
            for image, frame in zip(images, speaker_frames(request, speaker), strict=False):
                listener = listener or writer(request.output, image)
                listener.write(image)
                if request.side_by_side:
                    both = media.side_by_side(frame.image, image)
                    pair = pair or writer(request.side_by_side, both)
                    pair.write(both)
                advance()


def speaker_frames(request: Request, speaker: Speaker | None):
    """The speaker's frames for a side-by-side video, else nothing without end."""
    if request.side_by_side and speaker and speaker.video:
        return media.read_frames(speaker.video)
    return itertools.repeat(None)

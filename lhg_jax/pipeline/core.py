"""The stages in their order: read the speaker, look at the portrait, predict the listener, draw them."""

import collections
import dataclasses
import threading
from typing import Any, NamedTuple

import numpy as np

from lhg_jax import faces, media
from lhg_jax.contract import FeatureSpec, SpeakerFeatures
from lhg_jax.draw_options import DrawOptions
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.motion import FRAME_RATE, Motion, require_same_space
from lhg_jax.pipeline.animation import Animation
from lhg_jax.pipeline.edit import UNCHANGED, MotionEdit
from lhg_jax.pipeline.extraction import hear, join, measured, watch
from lhg_jax.pipeline.listening import Image, Listening
from lhg_jax.pipeline.source import AnyPath, Clip, FileSource, Source, as_path, find_source, fingerprint
from lhg_jax.pipeline.stages import CallbackStages, Progress, Stages, TimedStages
from lhg_jax.pipeline.timeline import Timeline
from lhg_jax.render import Renderer, crop_only, load_renderer
from lhg_jax.restore import load_restorer
from lhg_jax.speech.asr import recogniser
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.util.once import Once

ONE = DrawOptions()  # one listener, as learned
WAY_OUT = "words: name the BERT of its training clips by --word-encoder; it makes no other features"
KEPT_SPEAKERS = 4  # features of so many speakers' files are kept: a table often pairs one with many portraits


class Speaker(NamedTuple):
    """A speaker whose features are extracted: good for any number of portraits."""

    source: Source
    features: SpeakerFeatures


class Pipeline:
    """The stages of `python -m lhg_jax.sample`, kept for any number of clips; threads may share one."""

    def __init__(
        self,
        *,
        checkpoint: AnyPath | None = None,
        renderer: str | Renderer = "mesh",
        renderer_weights: AnyPath | None = None,
        renderer_fps: float | None = None,
        bridge: AnyPath | None = None,
        paste: str = "full",
        restore: str = "none",
        restore_weights: AnyPath | None = None,
        tracker: str = faces.DLIB,
        tracker_weights: AnyPath | None = None,
        asr: str = "pocketsphinx",
        asr_model: AnyPath | None = None,
        language: str | None = None,
        word_encoder: AnyPath | None = None,
        face: int | None = None,
        size: int = 1920,
        progress: Progress | None = None,
        stages: Stages | None = None,
    ):
        """Loads the renderer; everything else when it is first needed (`warm_up` loads it all).

        Args:
          checkpoint: weights of the listener (.safetensors); None is the demo model in the package.
          renderer: a name in `render.RENDERERS`, or an object like those (`render.Renderer`).
          renderer_weights: of a renderer that needs some.
          renderer_fps: draw so many frames a second at most, and the frames between them by optical flow.
          bridge: from the listener's space to the renderer's (.safetensors), in place of the package's own.
          paste: `full`: a renderer that draws a crop pastes it back; `crop`: it shows the crop.
          restore: a name in `restore.RESTORERS`.
          restore_weights: of a restoration that needs some.
          tracker: who finds landmarks, a name in `faces.POINTS`.
          tracker_weights: of the face tracker: of `tddfa`, or where a space needs another than the default.
          asr: a name in `speech.asr.RECOGNISERS`, used where there is no transcript.
          asr_model, language: of a recogniser that takes them (`speech.asr`).
          word_encoder: folder of the BERT that reads the words, where it is not the package's.
          face: which face of a portrait, from the left, from 0; None is the largest.
          size: longest side (pixels) at which a portrait is drawn. Ordinary players take the default one; a
            larger one takes long to draw.
          progress: called as (stage, steps done, steps in all); see `pipeline.stages`.
          stages: shows progress in another way, in place of `progress`; the commands draw bars.

        Raises:
          UserError: a name that is not known, or weights that do not fit.
        """
        if isinstance(renderer, str):
            renderer = load_renderer(renderer, as_path(renderer_weights))
        self.animation = Animation(
            crop_only(renderer) if paste == "crop" else renderer,
            load_restorer(restore, as_path(restore_weights)),
            fps=renderer_fps,
            bridge=as_path(bridge),
            tracker=tracker,
            tracker_weights=as_path(tracker_weights),
            face=face,
            size=size,
        )
        self.recognise = recogniser(asr, as_path(asr_model), language)
        self.word_encoder = as_path(word_encoder)
        self.checkpoint = as_path(checkpoint)
        self.stages = stages or CallbackStages(progress)
        self.once = Once()
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[tuple, Speaker] = collections.OrderedDict()

    def __call__(
        self, speaker: AnyPath | Clip | Speaker | None, portrait: AnyPath | Image, **options: Any
    ) -> Listening:
        """A listener for a speaker and a portrait: the first of `listeners`, which takes the same options."""
        return self.listeners(speaker, portrait, **options)[0]

    def listeners(
        self,
        speaker: AnyPath | Clip | Speaker | None,
        portrait: AnyPath | Image,
        *,
        audio: AnyPath | None = None,
        transcript: AnyPath | None = None,
        speaker_motion: AnyPath | Motion | None = None,
        drawing: DrawOptions = ONE,
        edit: MotionEdit = UNCHANGED,
    ) -> list[Listening]:
        """Listeners to one speaker, as many as `drawing.samples`.

        Args:
          speaker: a video, or sound alone; a file, a `Clip` of arrays, or what `extract` gave.
          portrait: an image with one face; a file, or RGB.
          audio, transcript, speaker_motion: see `extract`.
          drawing: which of the listeners that would suit the speaker.
          edit: changes to the motion.

        Raises:
          UserError: something that was given cannot be used; the message is one line.
        """
        timed = TimedStages(self.stages)
        source = None if isinstance(speaker, Speaker) else find_source(speaker, audio, transcript)
        model, draw = self.model, drawing.draw(self.model)  # like the portrait, before the slow stages
        self.animation.renderer_for(model.space, "the checkpoint")
        image, fit = self.animation.look(timed, portrait, model.space)
        animated = self.animation.animated(image, fit, portrait, model.space)
        model.require_features("this command", self.feature_spec, WAY_OUT)
        if source is not None:
            speaker = self._extract(timed, source, speaker_motion)
        assert isinstance(speaker, Speaker)
        with timed.stage("listener", model.count_windows(speaker.features.frames)) as advance:
            drawn = model.draw(speaker.features, fit.values, draw, drawing.samples, advance)
        motions = (edit.apply(Motion(model.space, values), fit.values) for values in drawn)
        return [self.animation.listening(timed, motion, animated, speaker.source) for motion in motions]

    def render(
        self,
        motion: AnyPath | Motion,
        portrait: AnyPath | Image,
        *,
        speaker: AnyPath | Clip | None = None,
        audio: AnyPath | None = None,
        sound: AnyPath | None = None,
        timeline: Timeline | None = None,
        from_portrait: bool = False,
        edit: MotionEdit = UNCHANGED,
    ) -> Listening:
        """A listener who moves as a given motion says.

        Args:
          motion: a file or a motion, in the renderer's space or one with a bridge to it.
          portrait: an image with one face; a file, or RGB.
          speaker, audio: give time stamps and sound; without them the frames are those of the motion.
          sound: instead, the sound of such frames.
          timeline: when they are shown; None: at the motion's own rate.
          from_portrait: the motion's changes since its first frame are put on the portrait as it is.
          edit: changes to the motion.

        Raises:
          UserError: as above.
        """
        timed = TimedStages(self.stages)
        source: Source | None = None
        if speaker is not None or audio is not None:
            source = find_source(speaker, audio, None)
        found = measured(motion)
        self.animation.renderer_for(found.space, "the motion" if isinstance(motion, Motion) else str(motion))
        image, fit = self.animation.look(timed, portrait, found.space)
        if from_portrait:
            found = dataclasses.replace(found, values=fit.values + (found.values - found.values[0]))
        if sound is not None:
            source = FileSource(None, as_path(sound), None)
            timeline = timeline or Timeline.regular(len(found), found.fps)
        motion = edit.apply(found, fit.values)
        animated = self.animation.animated(image, fit, portrait, motion.space)
        return self.animation.listening(timed, motion, animated, source, timeline)

    def extract(
        self,
        speaker: AnyPath | Clip | None,
        *,
        audio: AnyPath | None = None,
        transcript: AnyPath | None = None,
        speaker_motion: AnyPath | Motion | None = None,
    ) -> Speaker:
        """Everything that the model hears and sees of a speaker; the last few files' features are kept.

        Args:
          speaker: a video, or sound alone.
          audio: sound from another file.
          transcript: what is said (.srt .vtt .json .TextGrid); without it the speech is recognised.
          speaker_motion: the motion of the speaker's face, where it is measured already.

        Raises:
          UserError: as above.
        """
        source = find_source(speaker, audio, transcript)
        return self._extract(TimedStages(self.stages), source, speaker_motion)

    def warm_up(self, portrait: AnyPath | Image | None = None) -> None:
        """Loads weights and compiles programs, so that the first clip is not slower than the next ones.

        Programs for sound are compiled for its length: a first clip of another length than this one's 6 s
        still waits for those. With a portrait, one frame is drawn, too.
        """
        samples = round(self.model.inference.window / FRAME_RATE * media.SAMPLE_RATE)
        silence = Clip(np.zeros(samples, np.float32), transcript=())
        speaker = self.extract(silence)
        self.encoder.word_vectors(["hello"])
        _ = self.tracker
        if portrait is not None:
            next(self(speaker, portrait).frames())
        else:
            self.model.generate(speaker.features, np.zeros(self.model.space.size, np.float32))

    @property
    def model(self) -> ListenerModel:
        """The listener generator."""
        return self.once("model", lambda: load_listener(self.checkpoint))

    @property
    def encoder(self) -> BertEncoder:
        """The word encoder."""
        return self.once("encoder", lambda: BertEncoder.load(self.word_encoder))

    @property
    def tracker(self) -> faces.Tracker:
        """The face tracker of speakers, in the space of the listener."""
        return self.animation.tracker(self.model.space)

    @property
    def feature_spec(self) -> FeatureSpec:
        """What the features mean that `extract` makes."""
        return FeatureSpec(words=self.encoder.name, word_size=self.encoder.size, space=self.model.space.name)

    def _extract(self, timed: Stages, source: Source, speaker_motion: AnyPath | Motion | None) -> Speaker:
        """`extract`, from memory where the same files were asked for before."""
        if source.key is None or isinstance(speaker_motion, Motion):
            return Speaker(source, self._features(timed, source, speaker_motion))
        key = (source.key, fingerprint(speaker_motion))
        with self._lock:
            found = self._kept.pop(key, None)
        found = found or Speaker(source, self._features(timed, source, speaker_motion))
        with self._lock:
            self._kept[key] = found  # the latest is the last
            while len(self._kept) > KEPT_SPEAKERS:
                self._kept.popitem(last=False)
        return found

    def _features(
        self, timed: Stages, source: Source, speaker_motion: AnyPath | Motion | None
    ) -> SpeakerFeatures:
        """What is heard and seen (`pipeline.extraction`)."""
        given, space = None, self.model.space
        if speaker_motion is not None:
            given = measured(speaker_motion, source)
            name = "the motion" if isinstance(speaker_motion, Motion) else str(speaker_motion)
            require_same_space(name, given.space, "the listener", space)
        speech = hear(source, self.recognise, self.encoder, timed)
        motion = given or (watch(source, self.tracker, timed) if source.has_video else None)
        return join(speech, motion, space)

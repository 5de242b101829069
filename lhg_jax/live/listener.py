"""A live session: sound and pictures of a speaker in, as they come; frames of the listener out."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.listener_checkpoint import DEMO, ListenerModel, load_listener
from lhg_jax.live.face import LiveFace
from lhg_jax.live.idle import Idle
from lhg_jax.live.manner import SETTLE_S, Manner
from lhg_jax.live.sound import LiveSound
from lhg_jax.motion import FRAME_RATE, LANDMARK, require_same_space
from lhg_jax.render.mesh.renderer import MeshRenderer
from lhg_jax.speech.log_mel import SAMPLE_RATE
from lhg_jax.streamed_inference import PERIOD, Stream, is_causal
from lhg_jax.util.errors import UserError

LIVE_DEMO = DEMO.with_name("demo_live.safetensors")
WAIT_S = 0.2  # from a frame's time until sound that has not come is taken to be silence
LATE_S = 0.3  # who is later than this jumps to now

Image = UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class LiveFrame:
    """One frame of the listener.

    Attributes:
      time_s: its time on the clock of the pushed sound and pictures.
      motion: coefficients in the LANDMARK space.
      renderer: draws it.
    """

    time_s: float
    motion: Float[np.ndarray, "70"]
    renderer: MeshRenderer = dataclasses.field(repr=False)

    def draw(self) -> Image:
        """The picture, as large as the portrait. Who is short of time draws only the newest frame."""
        return next(iter(self.renderer.render(self.motion[None])))


class LiveListener:
    """Somebody who listens, at 30 frames/s, to whatever is pushed. Has no thread: `frames` does the work.

        listener = LiveListener(portrait)
        listener.warm_up()
        while talking:
            listener.push_audio(samples, time_s)
            listener.push_image(picture, time_s)
            for frame in listener.frames(now_s)[-1:]:
                show(frame.draw())

    All times are seconds on one clock of the caller's, by default `time.monotonic()`. Sound that never came
    is silence, and a speaker who is not seen is only heard; the listener goes on either way.

    Attributes:
      manner: how it listens; may be changed at any time, and is taken up within a second.
    """

    def __init__(self, portrait: Image, checkpoint: Path | ListenerModel | None = None, *, seed: int = 0):
        """Loads the listener.

        Args:
          portrait: RGB picture with one face.
          checkpoint: a causal listener, or its file; None: the package's.
          seed: decides when it blinks.

        Raises:
          UserError: no face in the portrait, or a checkpoint that cannot stream or speaks of another space.
        """
        model = checkpoint if isinstance(checkpoint, ListenerModel) else load_live_listener(checkpoint)
        require_live(model)
        self._rest, self._renderer = _measured(portrait)
        self._listener, self._seed = model, seed
        self._network = Stream(model.model, model.variables, self._rest)
        self._delay = 1 - getattr(model.model.config, "look_ahead", 0)
        self.restart()

    def change_portrait(self, portrait: Image) -> None:
        """Somebody else listens, in a new session; nothing is compiled anew.

        Raises `UserError` as the constructor does; then everything stays as it was.
        """
        self._rest, self._renderer = _measured(portrait)
        self.restart()

    def restart(self) -> None:
        """Forgets the session; the next push or call begins a new one."""
        self._network.restart(self._rest)
        self.manner = self._manner = Manner()
        self._sound, self._face, self._idle = LiveSound(), LiveFace(), Idle(self._rest, self._seed)
        self._begin_s: float | None = None
        self._frame, self._jumped = 0, 0

    def warm_up(self) -> None:
        """Compiles everything that a session needs; afterwards nothing is slower than usual."""
        for _ in range(2 * PERIOD + 1):
            self._step().draw()
        self.restart()

    def push_audio(self, samples: Float[np.ndarray, "samples"], time_s: float | None = None) -> None:
        """Takes 16 kHz mono in [-1, 1]; `time_s` is when the first sample was heard."""
        at_s = self._on_clock(time.monotonic() - len(samples) / SAMPLE_RATE if time_s is None else time_s)
        self._sound.push(samples, round(at_s * SAMPLE_RATE))

    def push_image(self, image: Image, time_s: float | None = None) -> bool:
        """Takes a picture of the speaker (RGB); says whether a face was found in it."""
        self._on_clock(time.monotonic() if time_s is None else time_s)
        return self._face.push(image)

    def frames(self, now_s: float | None = None) -> list[LiveFrame]:
        """The frames that are due; none where the sound for the next one may still come.

        Where more than one is due, all are stepped through; drawing the last is enough. More than 0.3 s late
        (a stall, a computer that slept), the listener goes on from now: what was said meanwhile is not heard.
        """
        now = self._on_clock(time.monotonic() if now_s is None else now_s)
        late = now - self._time_of(self._frame) - WAIT_S
        if late > LATE_S:
            self._jump(int(late * FRAME_RATE))
        made = []
        while self._is_due(now):
            made.append(self._step())
        return made

    def _on_clock(self, time_s: float) -> float:
        """Seconds since the session began."""
        if self._begin_s is None:
            self._begin_s = time_s
        return time_s - self._begin_s

    def _time_of(self, frame: int) -> float:
        return (frame + self._jumped) / FRAME_RATE

    def _is_due(self, now: float) -> bool:
        """Whether a frame's time has come, and its sound or the time after which that is silence."""
        time_s = self._time_of(self._frame)
        heard = self._sound.end >= self._sound.needed(self._frame)
        return time_s <= now and (heard or now - time_s >= WAIT_S)

    def _jump(self, frames: int) -> None:
        self._jumped += frames
        self._sound.jump(frames)

    def _step(self) -> LiveFrame:
        """One frame of the model."""
        log_mel, mfcc = self._sound.advance(self._frame)
        motion, seen = self._face.follow()
        answer = self._network.step(self._features(log_mel, mfcc, motion, seen))[0]
        time_s = (self._begin_s or 0.0) + self._time_of(self._frame + self._delay)
        self._frame += 1
        self._manner = self._manner.approach(self.manner, 1 - math.exp(-1 / (SETTLE_S * FRAME_RATE)))
        answer = self._manner.apply(answer, self._rest)
        return LiveFrame(time_s, self._idle(answer, self._sound.level_db), self._renderer)

    def _features(
        self,
        log_mel: Float[np.ndarray, "steps 128"],
        mfcc: Float[np.ndarray, "1 39"],
        motion: Float[np.ndarray, "70"],
        seen: bool,
    ) -> SpeakerFeatures:
        """One frame without words, which nobody recognises in time."""
        return SpeakerFeatures(
            log_mel=log_mel,
            mfcc=mfcc,
            word_table=np.zeros((1, self._listener.word_size), np.float32),
            word_index=np.zeros(1, np.int32),
            speaker_motion=motion[None],
            speaker_seen=np.array([seen]),
            in_clip=np.ones(1, bool),
        )


def _measured(portrait: Image) -> tuple[Float[np.ndarray, "70"], MeshRenderer]:
    """The portrait as a frame of motion, and who draws it. Raises `UserError` where there is no face."""
    fit: Any = LandmarkTracker().track_image(portrait)
    return fit.values, MeshRenderer(portrait, fit)


def load_live_listener(path: Path | None) -> ListenerModel:
    """Reads a listener; None is the package's. Raises `UserError` where there is none."""
    if path is None and not LIVE_DEMO.exists():
        raise UserError(
            f"{LIVE_DEMO.name}: is missing from the package (make demo-live-model trains one: "
            "give its listener.safetensors)"
        )
    return load_listener(path or LIVE_DEMO)


def require_live(model: ListenerModel) -> None:
    """Raises `UserError` where a listener cannot be run live."""
    require_same_space("the checkpoint", model.space, "live", LANDMARK)
    if not (is_causal(model.model) and model.features.causal):
        raise UserError(
            f"{model.name}: hears whole clips (a live listener is trained by configs/demo_live.py)"
        )

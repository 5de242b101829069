"""What a user asks for, and the time line that follows from it: the values `lhg_jax.pipeline` works from."""

import dataclasses
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from lhg_jax import media
from lhg_jax.motion import FRAME_RATE, Motion
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Request:
    """One clip to make.

    Attributes:
      listener: portrait, an image (or a video, whose first frame is taken).
      output: the listener's video.
      speaker: video, or sound alone.
      audio: sound that replaces the speaker's own.
      transcript: .srt .vtt .json .TextGrid; without it the speech is recognised.
      speaker_motion: coefficients of the speaker's face that another program measured, .mat or .npz.
      motion: a saved motion (or such coefficients) to render instead of imagining one.
      save_motion: where the rendered motion goes, .npz.
      export_motion: where the motion goes as blendshapes, .csv.
      side_by_side: a second video with the speaker on the left.
    """

    listener: Path
    output: Path
    speaker: Path | None = None
    audio: Path | None = None
    transcript: Path | None = None
    speaker_motion: Path | None = None
    motion: Path | None = None
    save_motion: Path | None = None
    export_motion: Path | None = None
    side_by_side: Path | None = None

    def numbered(self, samples: int) -> "list[Request]":
        """A request for each listener, with files NAME_1, NAME_2 ...; a single one stays as it is."""
        if samples == 1:
            return [self]
        names = ("output", "save_motion", "export_motion", "side_by_side")
        paths = {name: getattr(self, name) for name in names if getattr(self, name)}
        return [
            dataclasses.replace(self, **{n: p.with_stem(f"{p.stem}_{number}") for n, p in paths.items()})
            for number in range(1, samples + 1)
        ]


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When each output frame is shown: starts (s) and the end of the last one."""

    starts_s: Float[np.ndarray, "frames"]
    end_s: float

    @classmethod
    def regular(cls, frames: int, fps: float) -> "Timeline":
        """Frames of equal length."""
        return cls(np.arange(frames) / fps, frames / fps)

    @property
    def centres_s(self) -> Float[np.ndarray, "frames"]:
        """Middles of the frames' spans, where motion is sampled."""
        ends = np.append(self.starts_s[1:], self.end_s)
        return (self.starts_s + ends) / 2

    @property
    def model_frames(self) -> int:
        """Frames at 30/s that cover the clip."""
        return max(1, math.ceil(self.end_s * FRAME_RATE - 1e-6))


@dataclasses.dataclass(frozen=True)
class Speaker:
    """The speaker's files: a video (None for sound alone), the sound, and the time line of the output."""

    video: Path | None
    sound: Path
    timeline: Timeline


def find_speaker(request: Request) -> Speaker | None:
    """Looks at the speaker's files, without decoding them; None if there is no speaker.

    Sound alone gets 30 frames/s. Raises `UserError` for files that cannot be used.
    """
    sound = request.audio or request.speaker
    if sound is None:
        return None
    if request.speaker:
        info = media.probe(request.speaker)
        if info.has_video:
            return Speaker(
                request.speaker, sound, Timeline(media.frame_times(request.speaker), info.video_end_s)
            )
    if request.side_by_side:
        raise UserError(f"{request.speaker or sound}: --side-by-side needs a video of the speaker")
    frames = max(1, math.ceil(media.probe(sound).duration_s * FRAME_RATE - 1e-6))
    return Speaker(None, sound, Timeline.regular(frames, FRAME_RATE))


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

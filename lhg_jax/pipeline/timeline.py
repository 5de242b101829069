"""When each output frame is shown."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Starts of the frames (s) and the end of the last one."""

    starts_s: Float[np.ndarray, "frames"]
    end_s: float

    @classmethod
    def regular(cls, frames: int, fps: float) -> "Timeline":
        """Frames of equal length."""
        return cls(np.arange(frames) / fps, frames / fps)

    @classmethod
    def of_sound(cls, seconds: float) -> "Timeline":
        """Frames of the model's rate that cover a sound."""
        return cls.regular(max(1, math.ceil(seconds * FRAME_RATE - 1e-6)), FRAME_RATE)

    @property
    def centres_s(self) -> Float[np.ndarray, "frames"]:
        """Middles of the frames' spans, where motion is sampled."""
        ends = np.append(self.starts_s[1:], self.end_s)
        return (self.starts_s + ends) / 2

    @property
    def model_frames(self) -> int:
        """Frames at 30/s that cover the clip."""
        return max(1, math.ceil(self.end_s * FRAME_RATE - 1e-6))

"""A speaker's motion relative to how they usually are: an anchor that moves, for listeners that stream.

Offline, a motion is relative to its clip: the median place, the mean face. A live listener has no clip. Here
the anchor is the mean of the first second, and then follows slowly. What is constant about a speaker cancels
(how they hold their head, where they sit, the shape of their face), and so does what changes slowly.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE, Motion

BEGIN_FRAMES = round(FRAME_RATE)  # the first second
ANCHOR_S = 20.0  # time constant afterwards


@dataclasses.dataclass(frozen=True)
class MovingAnchor:
    """What a speaker's motion is relative to.

    Attributes:
      mean: the anchor; None before the first frame.
      frames: seen so far.
    """

    mean: Float[np.ndarray, "coeff"] | None = None
    frames: int = 0

    def follow(self, values: Float[np.ndarray, "coeff"]) -> "MovingAnchor":
        """The anchor once a further frame is seen: the mean so far, after a second a moving one."""
        frames = self.frames + 1
        share = 1 / frames if frames <= BEGIN_FRAMES else 1 / (ANCHOR_S * FRAME_RATE)
        old = values if self.mean is None else self.mean
        return MovingAnchor(old + share * (values - old), frames)


def relative_to_anchor(motion: Motion) -> Motion:
    """The motion relative to its moving anchor, which only the frames follow in which the face was seen.

    A frame depends on itself and earlier ones only. The first one is zero; all are until the face is seen.
    """
    anchor, relative = MovingAnchor(), np.zeros_like(motion.values)
    for frame, (values, seen) in enumerate(zip(motion.values.astype(np.float64), motion.seen, strict=True)):
        if seen:
            anchor = anchor.follow(values)
        if anchor.mean is not None:
            relative[frame] = values - anchor.mean
    return dataclasses.replace(motion, values=relative)

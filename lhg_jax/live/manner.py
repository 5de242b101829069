"""How the listener of a live session listens: more or less lively, kindly or not.

A live listener is the mean one, without a flow head to draw other listeners with. So liveliness scales its
motion about the portrait's own face and pose, and attitude adds a slight smile or frown, as large as those
of the simulator's listeners.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from lhg_jax.face_model import action
from lhg_jax.motion import LANDMARK

SMILE, FROWN = 0.35, 0.4  # of a full action, at attitude 1 and -1 (simulator/rules.py)
SETTLE_S = 0.4  # time constant with which a change is taken up, so that nothing jumps


@dataclasses.dataclass(frozen=True)
class Manner:
    """How somebody listens.

    Attributes:
      liveliness: factor of the motion, in [0, 2]; 1 is as learned.
      attitude: from -1 (negative) over 0 (neutral) to 1 (positive).
    """

    liveliness: float = 1.0
    attitude: float = 0.0

    def approach(self, other: "Manner", share: float) -> "Manner":
        """A part of the way to another manner."""
        return Manner(
            self.liveliness + share * (other.liveliness - self.liveliness),
            self.attitude + share * (other.attitude - self.attitude),
        )

    def apply(
        self, motion: Float[np.ndarray, "70"], rest: Float[np.ndarray, "70"]
    ) -> Float[np.ndarray, "70"]:
        """The motion in this manner; `rest` is the portrait's."""
        values = rest + self.liveliness * (motion - rest)
        if self.attitude > 0:
            values[LANDMARK.slice("exp")] += SMILE * self.attitude * action("smile")
        if self.attitude < 0:
            values[LANDMARK.slice("exp")] -= FROWN * self.attitude * action("frown")
        return values.astype(np.float32)

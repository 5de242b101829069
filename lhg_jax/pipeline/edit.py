"""Changes to a listener's motion before it is drawn."""

import dataclasses

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import Motion
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class MotionEdit:
    """How a motion is changed; its fields are options of `sample` and `predict`."""

    exp_scale: float = 1.0
    """Factor on the expression's departure from the portrait's own, >= 0."""
    pose_scale: float = 1.0
    """Factor on the head's departure from the portrait's pose, >= 0."""
    smooth: float = 0.0
    """Extra smoothing along time: standard deviation in seconds; 0 is off."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 0:
                option = field.name.replace("_", "-")
                raise UserError(f"--{option}: {getattr(self, field.name)} is negative")

    def apply(self, motion: Motion, reference: Float[np.ndarray, "coeff"]) -> Motion:
        """Scales departures from `reference` and smooths along time; unchanged, it is the same to the bit."""
        if self == UNCHANGED:
            return motion
        scale = np.full(motion.space.size, self.pose_scale, np.float32)
        scale[motion.space.slice("exp")] = self.exp_scale
        values = reference + scale * (motion.values - reference)
        if self.smooth > 0:
            from scipy.ndimage import gaussian_filter1d

            values = gaussian_filter1d(values, self.smooth * motion.fps, axis=0, mode="nearest")
        return dataclasses.replace(motion, values=values.astype(np.float32))


UNCHANGED = MotionEdit()

"""What a listener does by themself: breathes, blinks, keeps to the portrait's pose, and shuts the mouth.

The network answers what it hears and sees. Left alone for minutes it may drift, and it predicts means, in
which a blink that nothing calls for does not appear. Sizes without a source were chosen by eye.
"""

import numpy as np
from jaxtyping import Float

from lhg_jax.face_model import action
from lhg_jax.live.speaking import Speaking
from lhg_jax.motion import FRAME_RATE, LANDMARK

BREATH_HZ = 0.25  # 15 breaths a minute, adults at rest
BREATH_PITCH, BREATH_RISE = np.deg2rad(0.25), 0.006  # rad; interocular distances
BLINKS_PER_MIN = 17.0  # at rest (Bentivoglio et al. 1997)
BLINK_SPREAD = 0.6  # standard deviation of the logarithm of the time between two
BLINK_S = 0.27
SILENT_S = 0.6  # so long without speech is silence
MOUTH_S = 0.3  # in which the mouth shuts
DRIFT_S = 10.0  # over which a pose is held against the portrait's
DEAD_BAND = np.array([*np.deg2rad([4.0, 4.0, 3.0]), 0.12, 0.12, 0.05])  # angles, translation, log scale
POSE = np.r_[LANDMARK.slice("angle"), LANDMARK.slice("trans")]


class Idle:
    """Adds these to the motion of one model frame after the other."""

    def __init__(self, rest: Float[np.ndarray, "70"], seed: int):
        """`rest` is the portrait; the seed decides when it blinks."""
        self._rest = rest.astype(np.float64)
        self._rng = np.random.default_rng(seed)
        self._frame = 0
        self._blink_at = self._next_blink(0.0)
        self._drift = np.zeros(len(POSE))
        self._speaking, self._silent_s, self._shut = Speaking(), 0.0, 0.0

    def __call__(self, motion: Float[np.ndarray, "70"], level_db: float) -> Float[np.ndarray, "70"]:
        """The motion to draw. `level_db` is how loud the speaker is, relative to the running loudness."""
        values = motion.astype(np.float64)
        time_s = self._frame / FRAME_RATE
        self._frame += 1
        self._keep_near(values)
        self._shut_mouth(values, level_db)
        self._blink(values, time_s)
        breath = np.sin(2 * np.pi * BREATH_HZ * time_s)
        values[LANDMARK.slice("angle").start] += BREATH_PITCH * breath
        values[LANDMARK.slice("trans").start + 1] -= BREATH_RISE * breath
        return values.astype(np.float32)

    def _keep_near(self, values: Float[np.ndarray, "70"]) -> None:
        """Takes away what the pose has departed from the portrait's for long, beyond the dead band."""
        departure = values[POSE] - self._rest[POSE]
        self._drift += (departure - self._drift) / (DRIFT_S * FRAME_RATE)
        values[POSE] -= self._drift - np.clip(self._drift, -DEAD_BAND, DEAD_BAND)

    def _shut_mouth(self, values: Float[np.ndarray, "70"], level_db: float) -> None:
        """In silence nothing opens the jaw: who listens to nobody does not speak."""
        self._silent_s = 0.0 if self._speaking(level_db) else self._silent_s + 1 / FRAME_RATE
        step = 1 / (MOUTH_S * FRAME_RATE)
        self._shut = float(np.clip(self._shut + (step if self._silent_s > SILENT_S else -step), 0, 1))
        _raise(values, self._rest, "jaw_open", lambda open_: open_ - self._shut * max(open_, 0.0))

    def _blink(self, values: Float[np.ndarray, "70"], time_s: float) -> None:
        """Closes the eyes at least as far as a blink of its own has got."""
        phase = (time_s - self._blink_at) / BLINK_S
        if phase >= 1:
            self._blink_at = self._next_blink(time_s)
        elif phase > 0:
            closed = np.sin(np.pi * phase) ** 2
            _raise(values, self._rest, "blink", lambda own: max(own, closed))

    def _next_blink(self, time_s: float) -> float:
        median_s = 60 / BLINKS_PER_MIN * np.exp(-(BLINK_SPREAD**2) / 2)
        return time_s + median_s * float(np.exp(BLINK_SPREAD * self._rng.normal()))


def _raise(values: Float[np.ndarray, "70"], rest: Float[np.ndarray, "70"], name: str, change) -> None:
    """Replaces how much of an action the expression holds, beside the portrait's, by `change` of it."""
    exp, direction = LANDMARK.slice("exp"), action(name)
    held = float((values[exp] - rest[exp]) @ direction / (direction @ direction))
    values[exp] += (change(held) - held) * direction

"""Listeners as varied as people: what sets them apart, and from which distributions their reactions come.

A `Person` is drawn for each dyad, and each of a person's reactions is drawn again (`reactions.py`). Sources,
by their numbers below:

1. PriMock57 (Papadopoulos Korfiatis et al. 2022), 57 consultations by video, measured by
   `tools/measure_dyads.py`: short acknowledgements after turns of more than 4 s start 0.26 s after the end of
   the turn (10-90 %: 0.2 s before to 0.9 s after); more than a third come more than 0.5 s before it.
2. MAHNOB Mimicry (Sun et al. 2011), annotated episodes: nodding lasts 2.3 s (10-90 %: 1.3-4.5 s), smiling
   4.0 s (1.8-9.5 s), shaking 2.2 s; nodding is 16 times as frequent as shaking.
3. Cardiff Conversation Database (Aubrey et al. 2013): of clips of 10 s, 37 % have a nod, 48 % a smile, 22 % a
   tilt of the head.
4. Bentivoglio et al. 1997: blinks a minute, with large differences between people.
5. Hadar, Steiner & Rose 1985: nods of listeners are damped series of strokes at about 2 Hz.
6. Our own tracking of five people in calls (docs/data.md): 0-14 nods of 3 degrees a minute, standard
   deviation of the pose 2.5-3.5 degrees, 8-11 degrees/s with the tracker's noise, 0-20 blinks a minute.
   What no paper gives (sway, shifts, sizes of expressions) is set so that listeners lie among these.
"""

import dataclasses
import math

import numpy as np
import scipy.special
from jaxtyping import Float

from lhg_jax.contract import TRAITS, style_vector
from lhg_jax.simulator.rules import ATTITUDES, Style


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """A distribution of positive values: its median, and the standard deviation of the logarithm."""

    median: float
    sigma: float

    def at(self, quantile: float) -> float:
        """The value at a quantile, which is kept off 0 and 1."""
        return self.median * math.exp(self.sigma * scipy.special.ndtri(min(max(quantile, 0.02), 0.98)))

    def draw(self, rng: np.random.Generator) -> float:
        """A random value."""
        return self.median * math.exp(self.sigma * rng.standard_normal())


@dataclasses.dataclass(frozen=True)
class People:
    """Distributions over listeners and over each listener's reactions; numbers in brackets name the source.

    Attributes:
      nod_chance: of an answer, by `reactions.Cue.place`, for the mean listener.
      nod_delay_s: of a listener, from the end of a phrase or of a low region to the onset (1) ...
      delay_sigma: ... and how much (log) one reaction differs from another.
      nod_deg: depth of the first stroke of a listener (6) ...
      depth_sigma: ... and how much (log) one nod differs from another.
      nod_s: length of a nod (2).
      nod_hz: strokes/s (5).
      nod_gap_s: least time from the end of a nod to the next.
      small_nod_per_min, small_nod_deg: nods without a cause while somebody speaks (6).
      shake_chance: of an answer to a negation (2).
      shake_delay_s, shake_deg, shake_s, shake_hz: of a shake (2; McClave 2000).
      smile_chance: of an answer to a positive word; `polite_smile_chance`: at the end of a sentence (3).
      smile_delay_s, smile_s, smile_size: of a smile (2; Dimberg et al. 2000).
      frown_chance, frown_s, frown_size: of an answer to a negative word (6).
      brow_per_min, brow_s, brow_size: brow raises while somebody speaks (6).
      press_per_min, press_s, press_size: lips pressed together (6).
      tilt_per_min, tilt_s, tilt_deg: head held to one side (3).
      shift_per_min, shift_s, shift_deg: change of posture, and standard deviation of the resting pose (6).
      sway_deg, sway_hz: slow wandering (pitch, yaw, roll) (6).
      stir_deg, stir_hz: small quicker movements, most of them while somebody speaks (6).
      liveliness: factor on sway, stir and shifts of a listener (6).
      blinks_per_min: of a listener (4).
      blink_spread: standard deviation (log) of the time between blinks.
      blink_chance: of a blink at the end of a sentence (Nakano & Kitazawa 2010), after `blink_delay_s`.
      blink_s: length of a listener's blinks.
      mirror_gain, mirror_delay_s: share of the speaker's head movement taken up (uniform), and how late
        (Hale et al. 2020).
      rest_exp: standard deviation of the slow changes of a resting face, share of full actions (6).
      rest_trans: the same of the place in the picture, interocular distances.
    """

    nod_chance: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"sentence": 0.6, "phrase": 0.45, "inside": 0.16}
    )
    nod_delay_s: LogNormal = LogNormal(0.35, 0.25)
    delay_sigma: float = 0.4
    nod_deg: LogNormal = LogNormal(5.5, 0.3)
    depth_sigma: float = 0.35
    nod_s: LogNormal = LogNormal(1.7, 0.4)
    nod_hz: LogNormal = LogNormal(2.0, 0.2)
    nod_gap_s: LogNormal = LogNormal(0.8, 0.5)
    small_nod_per_min: float = 3.0
    small_nod_deg: LogNormal = LogNormal(1.6, 0.3)
    shake_chance: float = 0.25
    shake_delay_s: LogNormal = LogNormal(0.45, 0.4)
    shake_deg: LogNormal = LogNormal(5.0, 0.3)
    shake_s: LogNormal = LogNormal(1.5, 0.3)
    shake_hz: LogNormal = LogNormal(1.9, 0.15)
    smile_chance: float = 0.6
    polite_smile_chance: float = 0.14
    smile_delay_s: LogNormal = LogNormal(0.6, 0.4)
    smile_s: LogNormal = LogNormal(4.0, 0.65)
    smile_size: LogNormal = LogNormal(0.7, 0.3)
    frown_chance: float = 0.5
    frown_s: LogNormal = LogNormal(2.5, 0.4)
    frown_size: LogNormal = LogNormal(0.6, 0.3)
    brow_per_min: float = 3.0
    brow_s: LogNormal = LogNormal(1.2, 0.4)
    brow_size: LogNormal = LogNormal(0.45, 0.4)
    press_per_min: float = 2.0
    press_s: LogNormal = LogNormal(1.5, 0.4)
    press_size: LogNormal = LogNormal(0.6, 0.3)
    tilt_per_min: float = 1.2
    tilt_s: LogNormal = LogNormal(3.0, 0.4)
    tilt_deg: LogNormal = LogNormal(4.5, 0.3)
    shift_per_min: float = 3.0
    shift_s: tuple[float, float] = (0.7, 1.6)
    shift_deg: tuple[float, float, float] = (1.8, 2.8, 1.2)
    sway_deg: tuple[float, float, float] = (0.8, 1.1, 0.6)
    sway_hz: tuple[float, float] = (0.05, 0.25)
    stir_deg: tuple[float, float, float] = (0.35, 0.4, 0.25)
    stir_hz: tuple[float, float] = (0.3, 1.2)
    liveliness: LogNormal = LogNormal(1.0, 0.4)
    blinks_per_min: LogNormal = LogNormal(14.5, 0.4)
    blink_spread: float = 0.6
    blink_chance: float = 0.35
    blink_delay_s: LogNormal = LogNormal(0.3, 0.4)
    blink_s: LogNormal = LogNormal(0.28, 0.12)
    mirror_gain: tuple[float, float] = (0.1, 0.4)
    mirror_delay_s: LogNormal = LogNormal(0.25, 0.4)
    rest_exp: tuple[tuple[str, float], ...] = (
        ("smile", 0.07),
        ("brow_raise", 0.08),
        ("frown", 0.08),
        ("lip_press", 0.12),
    )
    rest_trans: tuple[float, float, float] = (0.025, 0.015, 0.012)


# Factors for a positive, neutral and negative attitude.
NODS, SMILES, FROWNS, SHAKES = (1.2, 1.0, 0.7), (1.4, 1.0, 0.4), (0.6, 1.0, 1.6), (0.7, 1.0, 1.6)


@dataclasses.dataclass(frozen=True)
class Person(Style):
    """One listener: attitude, gains, and quantiles in [0, 1] among listeners.

    Attributes:
      liveliness: of how much the head moves between reactions, and of how deep nods are.
      nods, smiles, brows: how often: from 0 (never) through 0.5 (as often as the mean listener) to 1 (twice
        as often); smiles also of how large they are.
      blinks: of blinks a minute.
      nod_delay_s, nod_hz, mirror_delay_s, blink_s: habits, which nothing but the reactions shows.
    """

    liveliness: float
    nods: float
    smiles: float
    blinks: float
    brows: float
    nod_delay_s: float
    nod_hz: float
    mirror_delay_s: float
    blink_s: float

    def vector(self) -> Float[np.ndarray, "8"]:
        """The style as a model sees it, all of it known: `contract.style_vector`."""
        return style_vector(self.attitude, **{name: getattr(self, name) for name in TRAITS})


def random_person(rng: np.random.Generator, people: People) -> Person:
    """Attitudes equally often, quantiles uniform; the portrait hints at the liveliness."""
    quantiles = {name: float(rng.random()) for name in TRAITS}
    return Person(
        attitude=str(rng.choice(ATTITUDES)),
        expressivity=0.7 + 0.6 * quantiles["liveliness"],
        mirror_gain=float(rng.uniform(*people.mirror_gain)),
        **quantiles,
        nod_delay_s=people.nod_delay_s.draw(rng),
        nod_hz=people.nod_hz.draw(rng),
        mirror_delay_s=people.mirror_delay_s.draw(rng),
        blink_s=people.blink_s.draw(rng),
    )

"""How one listener differs from another: how much they move, nod, smile and blink, and with what attitude."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its parts load where they are used: `signal` takes a second
from jaxtyping import Float

from lhg_jax.contract import ATTITUDES, TRAITS
from lhg_jax.face_model import ACTIONS, action
from lhg_jax.motion import LANDMARK, Motion

CODE_SIZE = 2 * len(TRAITS) + len(ATTITUDES)
NOD_HZ = (1.2, 5.0)  # nods and shakes; what is slower is posture
LEAST_BLINK = 0.5  # share of a full blink
TABLE = 512  # styles of training clips that are kept with the weights


@dataclasses.dataclass(frozen=True)
class ListenerStyle:
    """Each trait as a quantile among the listeners of the training set, in [0, 1]; None is unknown.

    Attributes:
      liveliness: speed of the head besides nods and shakes.
      nods: strength of movements of pitch at the rate of nods.
      smiles: how far the smile goes up and down.
      blinks: a minute.
      brows: how much the brows go up and down.
      attitude: one of `ATTITUDES`, or None.
    """

    liveliness: float | None = None
    nods: float | None = None
    smiles: float | None = None
    blinks: float | None = None
    brows: float | None = None
    attitude: str | None = None

    def code(self) -> Float[np.ndarray, "code"]:
        """What a network sees: quantiles about 0, whether each is known, and the attitude one-hot."""
        traits = [getattr(self, name) for name in TRAITS]
        centred = [0.0 if value is None else 2 * value - 1 for value in traits]
        known = [float(value is not None) for value in traits]
        return np.array(centred + known + [float(self.attitude == a) for a in ATTITUDES], np.float32)

    def with_more(self, factors: Mapping[str, float]) -> "ListenerStyle":
        """Traits moved towards the most there is, which is 1 at factor 2; factors up to 1 change nothing.

        Less of a trait is not a matter of style: `fading`.
        """
        more = {name: min(factor, 2.0) - 1 for name, factor in factors.items() if factor > 1}
        known: dict[str, Any] = {n: 0.5 if getattr(self, n) is None else getattr(self, n) for n in more}
        return dataclasses.replace(self, **{n: known[n] + (1 - known[n]) * more[n] for n in more})


def traits_of(motion: Motion) -> dict[str, float]:
    """The traits of one clip, in their own units; NaN where the space does not say.

    liveliness: mean speed (degrees/s) of the angles below `NOD_HZ`; nods: deviation (degrees) of pitch within
    it; smiles: 95th above 20th percentile of the smile (share of a full one); blinks: a minute; brows:
    deviation of the raised brow (share of a full one).
    """
    angle = np.rad2deg(motion.part("angle").astype(np.float64))
    padding = min(30, len(angle) - 1)
    slow = scipy.signal.butter(2, NOD_HZ[0], "lowpass", fs=motion.fps, output="sos")
    band = scipy.signal.butter(2, NOD_HZ, "bandpass", fs=motion.fps, output="sos")
    drift = np.diff(scipy.signal.sosfiltfilt(slow, angle, axis=0, padlen=padding), axis=0) * motion.fps
    nodding = scipy.signal.sosfiltfilt(band, angle[:, 0], padlen=padding)
    found = {"liveliness": float(np.linalg.norm(drift, axis=1).mean()), "nods": float(nodding.std())}
    if motion.space != LANDMARK:
        return found | dict.fromkeys(("smiles", "blinks", "brows"), float("nan"))
    amounts = action_amounts(motion.part("exp"))
    smile, blink = amounts["smile"], amounts["blink"] - np.median(amounts["blink"])
    peaks, _ = scipy.signal.find_peaks(blink, height=LEAST_BLINK, prominence=0.4, distance=5)
    return found | {
        "smiles": float(np.percentile(smile, 95) - np.percentile(smile, 20)),
        "blinks": 60 * len(peaks) * motion.fps / len(motion),
        "brows": float(amounts["brow_raise"].std()),
    }


def action_amounts(exp: Float[np.ndarray, "frames 64"]) -> dict[str, Float[np.ndarray, "frames"]]:
    """How much of each action of the face model is in expression coefficients (least squares)."""
    basis = np.stack([action(name) for name in ACTIONS], axis=1)
    return dict(zip(ACTIONS, np.linalg.lstsq(basis, exp.astype(np.float64).T, rcond=None)[0], strict=True))


def quantiles(values: Float[np.ndarray, "clips"]) -> Float[np.ndarray, "clips"]:
    """Share of clips with less; clips with equally little share a quantile, so none at all is 0."""
    order = np.sort(values)
    return np.searchsorted(order, values, side="left") / max(len(values) - 1, 1)


def style_table(traits: list[dict[str, float]], attitudes: list[str]) -> list[ListenerStyle]:
    """Styles of clips whose traits are given; unknown where a trait is NaN or an attitude has no name."""
    columns = {name: quantiles(np.array([row[name] for row in traits])) for name in TRAITS}
    styles = []
    for i, (row, attitude) in enumerate(zip(traits, attitudes, strict=True)):
        known: dict[str, Any] = {n: float(columns[n][i]) for n in TRAITS if np.isfinite(row[n])}
        styles.append(ListenerStyle(**known, attitude=attitude if attitude in ATTITUDES else None))
    return styles


def draw_style(table: Float[np.ndarray, "styles code"], rng: np.random.Generator, temperature: float):
    """One of the training set's styles, moved towards the middle by a temperature below 1.

    An attitude has no middle: as often as the temperature says it is the style's, else it is left open.
    """
    code = table[rng.integers(len(table))]
    traits = {}
    for i, name in enumerate(TRAITS):
        if code[len(TRAITS) + i]:
            traits[name] = 0.5 + min(temperature, 1.0) * float(code[i]) / 2
    attitude = code[2 * len(TRAITS) :]
    told = attitude.any() and rng.random() < temperature
    return ListenerStyle(**traits, attitude=ATTITUDES[int(attitude.argmax())] if told else None)

"""Less of a movement in a motion: a share of its sway, nods, smiles or blinks is taken out, and nothing else.

Whoever smiles least in a training set still smiles, so a flow head cannot be asked for none: asked for the
least, the demo's drew nearly as wide smiles as ever (docs/benchmarks.md). What is wanted less of is drawn and
then taken out. More of it takes another listener: `ListenerStyle.with_more`.
"""

from collections.abc import Callable, Mapping

import numpy as np
import scipy  # its parts load where they are used: `signal` takes a second
from jaxtyping import Float

from lhg_jax.face_model import action, action_map
from lhg_jax.motion import LANDMARK, CoefficientSpace
from lhg_jax.styles import action_amounts
from lhg_jax.util.errors import UserError

POSTURE_FRAMES = 45  # at 30 frames/s: what a head does within them is a nod or a shake, the rest its sway
LEAST_BLINK = 0.25  # share of a full one, above what surrounds it
FOOT = 0.9  # of a blink's height, down from its peak: there it begins and ends

Values = Float[np.ndarray, "frames coeff"]


def faded(values: Values, space: CoefficientSpace, factors: Mapping[str, float], seed: int) -> Values:
    """A motion with less of each trait whose factor is below 1; 0 leaves none of it, 1 and more all.

    Args:
      values: from a face at rest, at 30 frames/s.
      factors: on traits in `FADES`.
      seed: decides which blinks stay. Those that stay for a factor also stay for a larger one.

    Raises `UserError` as `check_space` does.
    """
    check_space(space, factors)
    for name, factor in factors.items():
        if factor < 1:
            values = FADES[name](values, space, factor, seed)
    return values


def check_space(space: CoefficientSpace, factors: Mapping[str, float]) -> None:
    """Raises `UserError` for fewer smiles or blinks outside `landmark`, whose coefficients have no names."""
    for name in ("smiles", "blinks"):
        if factors.get(name, 1) < 1 and space != LANDMARK:
            raise UserError(
                f"--{name}: only a listener in the landmark space can be asked for less, not in {space.name}"
            )


def _sway(values: Values, space: CoefficientSpace, factor: float, seed: int) -> Values:
    """Slow turns and shifts of the head, as far as they lead away from the first frame."""
    moved = values.copy()
    for part in ("angle", "trans"):
        slow = _posture(values[:, space.slice(part)])
        moved[:, space.slice(part)] -= (1 - factor) * (slow - slow[0])
    return moved


def _nods(values: Values, space: CoefficientSpace, factor: float, seed: int) -> Values:
    """Pitch that is not sway; the first frame stays."""
    moved, pitch = values.copy(), space.slice("angle").start
    fast = values[:, pitch] - _posture(values[:, pitch])
    moved[:, pitch] -= (1 - factor) * (fast - fast[0])
    return moved


def _smiles(values: Values, space: CoefficientSpace, factor: float, seed: int) -> Values:
    moved, exp = values.copy(), space.slice("exp")
    moved[:, exp] -= (1 - factor) * values[:, exp] @ action_map("smile")
    return moved


def _blinks(values: Values, space: CoefficientSpace, factor: float, seed: int) -> Values:
    """Some blinks, as wholes: half of a blink is none."""
    moved, exp = values.copy(), space.slice("exp")
    amount = action_amounts(values[:, exp])["blink"]
    peaks, found = scipy.signal.find_peaks(amount, prominence=LEAST_BLINK)
    stays = np.random.default_rng([seed, 2]).random(len(peaks)) < factor
    *_, left, right = scipy.signal.peak_widths(
        amount, peaks, FOOT, (found["prominences"], found["left_bases"], found["right_bases"])
    )
    open_eyed = amount.copy()
    for first, last in zip(np.floor(left[~stays]), np.ceil(right[~stays]), strict=True):
        frames = np.arange(int(first), int(last) + 1)
        line = np.interp(frames, [first, last], amount[[int(first), int(last)]])
        open_eyed[frames] = np.minimum(open_eyed[frames], line)
    moved[:, exp] += np.outer(open_eyed - amount, action("blink"))
    return moved


FADES: Mapping[str, Callable[[Values, CoefficientSpace, float, int], Values]] = {
    "liveliness": _sway,
    "nods": _nods,
    "smiles": _smiles,
    "blinks": _blinks,
}


def _posture(values: Float[np.ndarray, "frames *size"]) -> Float[np.ndarray, "frames *size"]:
    """The slow part of it: a straight line in every window."""
    window = min(POSTURE_FRAMES, len(values) - 1 + len(values) % 2)
    return scipy.signal.savgol_filter(values, window, 1, axis=0) if window > 1 else values

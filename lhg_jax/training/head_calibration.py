"""How far drawn listeners move, brought to how far true ones do, on clips that the head was not trained on.

A guided head draws reactions at better moments, and too large (docs/benchmarks.md). A factor on what is drawn
of the pose, of each action of the face and of all else the face does mends the size and leaves the rest as it
is: no head sees them. One factor for a whole face made smiles too small and let brows and lids tremble.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from lhg_jax.face_model import ACTIONS, action_map
from lhg_jax.generative import ListenerHead
from lhg_jax.motion import LANDMARK, CoefficientSpace
from lhg_jax.training.objective import coefficient_groups
from lhg_jax.util.errors import UserError

Values = Float[np.ndarray, "_ _"]  # clips differ in length
Map = Float[np.ndarray, "coeff coeff"]

MOST = 2.0  # factor: what is hardly drawn at all is not blown up


def gains(clips: Iterable[tuple[Values, Values, Values]], space: CoefficientSpace) -> dict[str, float]:
    """By movement: the factor on what is drawn that gives it the variance of the true listeners.

    With mean m, drawn residual r and truth y, variances along time summed over clips, the positive g with

        Var(m + g r) = Var(m) + 2 g Cov(m, r) + g^2 Var(r) = Var(y)

    Besides those of `movements` there is one for the whole expression and one for the whole pose. A movement
    that no factor brings to size, or only one above `MOST`, is left out.

    Args:
      clips: mean, drawn and true motion of each.
      space: of all.

    Raises `UserError` where no factor does for a whole: nothing is drawn, or the mean varies more than the
    truth.
    """
    needed = wholes(space)
    parts = needed | movements(space)
    sums = {name: np.zeros(4) for name in parts}
    for mean, drawn, true in clips:
        for name, part in parts.items():
            m, r, y = (_centred(x @ part) for x in (mean, drawn - mean, true))
            sums[name] += [np.mean(np.sum(a * b, axis=1)) for a, b in ((r, r), (m, r), (m, m), (y, y))]
    found = {name: _gain(*values) for name, values in sums.items()}
    for name in needed:
        if not np.isfinite(found[name]):
            raise UserError(f"{name}: no factor on what is drawn gives it the true listeners' variance")
    return {name: gain for name, gain in found.items() if name in needed or gain <= MOST}


def _gain(own: float, shared: float, still: float, wanted: float) -> float:
    """Of Var(r), Cov(m, r), Var(m) and Var(y); NaN where there is none."""
    if not (own > 0 and wanted > still):
        return float("nan")
    return float((np.sqrt(shared**2 + own * (wanted - still)) - shared) / own)


def rescaled(own: ListenerHead, factors: Mapping[str, float], space: CoefficientSpace) -> ListenerHead:
    """The head with factors of `gains`; a movement without one has its whole's."""
    scale = sum(factors[name] * part for name, part in wholes(space).items())
    for name, part in movements(space).items():
        if name in factors:
            scale = scale + part @ (factors[name] * np.eye(space.size) - scale)
    constants = own.variables["constants"]
    synthesis = np.asarray(constants["synthesis"], np.float64) @ scale
    constants = {**constants, "synthesis": synthesis.astype(np.float32)}
    return dataclasses.replace(own, variables={**own.variables, "constants": constants})


def movements(space: CoefficientSpace) -> dict[str, Map]:
    """Every movement that is brought to size by itself, as a map from motions to what they have of it.

    The actions of the face model in the `landmark` space; in others none.
    """
    if space != LANDMARK:
        return {}
    found, exp = {name: np.zeros((space.size, space.size)) for name in ACTIONS}, space.slice("exp")
    for name, part in found.items():
        part[exp, exp] = action_map(name)
    return found


def wholes(space: CoefficientSpace) -> dict[str, Map]:
    """Expression and pose, as `movements`."""
    groups = coefficient_groups(space).items()
    return {name: np.diag(np.isin(np.arange(space.size), columns).astype(float)) for name, columns in groups}


def _centred(values: Values) -> Values:
    values = np.asarray(values, np.float64)
    return values - values.mean(axis=0)

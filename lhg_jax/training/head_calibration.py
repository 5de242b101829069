"""How far drawn listeners move, brought to how far true ones do, on clips that the head was not trained on.

A guided head draws reactions at better moments, and too large (docs/benchmarks.md). One factor on all that is
drawn of the expression and one for the pose mend the size and leave the rest as it is: no head sees them.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from lhg_jax.generative import ListenerHead
from lhg_jax.motion import CoefficientSpace
from lhg_jax.training.objective import coefficient_groups
from lhg_jax.util.errors import UserError

Values = Float[np.ndarray, "_ _"]  # clips differ in length


def gains(clips: Iterable[tuple[Values, Values, Values]], space: CoefficientSpace) -> dict[str, float]:
    """By group of coefficients: the factor on what is drawn that gives it the variance of the true listeners.

    With mean m, drawn residual r and truth y, variances along time summed over clips, the positive g with

        Var(m + g r) = Var(m) + 2 g Cov(m, r) + g^2 Var(r) = Var(y)

    Args:
      clips: mean, drawn and true motion of each.
      space: of all.

    Raises `UserError` where no factor does: nothing is drawn, or the mean alone varies more than the truth.
    """
    groups = coefficient_groups(space)
    sums = {name: np.zeros(4) for name in groups}  # of Var(r), Cov(m, r), Var(m), Var(y)
    for mean, drawn, true in clips:
        for name, columns in groups.items():
            m, r, y = (_centred(x[:, columns]) for x in (mean, drawn - mean, true))
            sums[name] += [np.mean(np.sum(a * b, axis=1)) for a, b in ((r, r), (m, r), (m, m), (y, y))]
    found = {}
    for name, (own, shared, still, wanted) in sums.items():
        if not (own > 0 and wanted > still):
            raise UserError(f"{name}: no factor on what is drawn gives it the true listeners' variance")
        found[name] = float((np.sqrt(shared**2 + own * (wanted - still)) - shared) / own)
    return found


def rescaled(own: ListenerHead, factors: Mapping[str, float], space: CoefficientSpace) -> ListenerHead:
    """The head with a factor on what is drawn of each group of coefficients."""
    scale = np.ones(space.size, np.float32)
    for name, columns in coefficient_groups(space).items():
        scale[columns] = factors[name]
    constants = own.variables["constants"]
    constants = {**constants, "synthesis": np.asarray(constants["synthesis"]) * scale}
    return dataclasses.replace(own, variables={**own.variables, "constants": constants})


def _centred(values: Values) -> Values:
    values = np.asarray(values, np.float64)
    return values - values.mean(axis=0)

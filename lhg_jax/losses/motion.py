"""Losses between predicted and recorded listener motion.

Each is `loss(x: MotionInputs) -> LossSums`, with options of its own as keywords that have defaults.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from lhg_jax.contract import LossSums
from lhg_jax.losses.base import as_float, masked_loss
from lhg_jax.motion import CoefficientSpace

Coefficients = Float[Array, "batch frame coeff"]

VICO_CHANGE_WEIGHT = {"exp": 0.001}  # other parts have weight 1
VICO_EPSILON = 1e-6  # added to every component, as torch.nn.functional.pairwise_distance does


@dataclasses.dataclass(frozen=True)
class MotionInputs:
    """What is compared.

    Frame 0 is the given reference: it is not scored, but the first change is taken from it.

    Attributes:
      predicted_BTC, target_BTC: Motions of the listener in `space`, of any float type.
      seen_BT: Frames whose target was measured; only these count.
      space: Of both motions.
    """

    predicted_BTC: Coefficients
    target_BTC: Coefficients
    seen_BT: Bool[Array, "batch frame"]
    space: CoefficientSpace

    @property
    def error_BTC(self) -> Coefficients:
        """Difference in float32; zero where the target was not measured."""
        error_BTC = as_float(self.predicted_BTC) - as_float(self.target_BTC)
        return jnp.where(self.seen_BT[..., None], error_BTC, 0)

    @property
    def scored_BT(self) -> Bool[Array, "batch frame"]:
        """All seen frames but the reference."""
        return self.seen_BT.at[:, 0].set(False)


def _square(x: Array) -> Array:
    """Squared L2 norm of the last axis."""
    return (x * x).sum(-1)


def _norm(x: Array) -> Array:
    """L2 norm of the last axis, with gradient zero (not NaN) where it is zero."""
    square = _square(x)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _groups(space: CoefficientSpace) -> dict[str, np.ndarray]:
    """beta and p of Eq. 6 as indices."""
    indices = np.arange(space.size)
    return {"expression": indices[space.slice("exp")], "pose": space.pose_indices()}


def _changes(x: MotionInputs, order: int) -> Array:
    """Error of the `order`-th difference in time; zero where one of its frames is missing."""
    error_BTC, frames = x.error_BTC, x.seen_BT.shape[1]
    for _ in range(order):
        error_BTC = jnp.pad(error_BTC[:, 1:] - error_BTC[:, :-1], ((0, 0), (1, 0), (0, 0)))
    complete_BT = x.seen_BT
    for step in range(1, order + 1):
        complete_BT &= jnp.pad(x.seen_BT, ((0, 0), (step, 0)))[:, :frames]
    return jnp.where(complete_BT[..., None], error_BTC, 0)


def _eq6_terms(
    x: MotionInputs, w1: float, w2: float, size: Callable[[Array], Array] = _norm
) -> dict[str, Array]:
    error_BTC, change_BTC = x.error_BTC, _changes(x, 1)
    terms = {}
    for (name, indices), weight in zip(_groups(x.space).items(), (w1, w2), strict=True):
        terms[name] = size(error_BTC[..., indices])
        terms[f"{name}_change"] = weight * size(change_BTC[..., indices])
    return terms


def paper(x: MotionInputs, *, w1: float = 1.0, w2: float = 1.0) -> LossSums:
    """Eq. 6 of Chang et al. (MM '23): |d beta| + |d p| + w1 |d change of beta| + w2 |d change of p|, a frame.

    | | is the L2 norm over coefficients, beta the expression, p all others, change the difference to the
    frame before.

    Args:
      x: What is compared.
      w1, w2: Weights of the two changes; the paper prints none.
    """
    return masked_loss(_eq6_terms(x, w1, w2), x.scored_BT)


def squared(x: MotionInputs, *, w1: float = 1.0, w2: float = 1.0, pose: float = 1.0) -> LossSums:
    """Eq. 6 with squared norms: the same four terms, in which short large motions (nods) count for more.

    Args:
      x: What is compared.
      w1, w2: As in `paper`.
      pose: Weight of both terms of p. Squares of coefficients in different units (interocular distances,
        radians) add up to a sum that the larger numbers rule.
    """
    terms = _eq6_terms(x, w1, w2, _square)
    terms |= {name: pose * terms[name] for name in ("pose", "pose_change")}
    return masked_loss(terms, x.scored_BT)


def l2_accel(x: MotionInputs, *, w1: float = 1.0, w2: float = 1.0, w_accel: float = 1.0) -> LossSums:
    """`paper` plus `w_accel` times the L2 norms of the errors of second differences: against trembling."""
    terms = _eq6_terms(x, w1, w2)
    accel_BTC = _changes(x, 2)
    for name, indices in _groups(x.space).items():
        terms[f"{name}_accel"] = w_accel * _norm(accel_BTC[..., indices])
    return masked_loss(terms, x.scored_BT)


def huber(x: MotionInputs, *, delta: float = 0.1) -> LossSums:
    """Huber loss of every coefficient, summed over expression and over pose; quadratic below `delta`."""
    loss_BTC = optax.losses.huber_loss(x.error_BTC, delta=delta)
    terms = {name: loss_BTC[..., indices].sum(-1) for name, indices in _groups(x.space).items()}
    return masked_loss(terms, x.scored_BT)


def vico(x: MotionInputs) -> LossSums:
    """The loss of the ViCo challenge's baseline, with its habits, to be comparable.

    For each part of the space: |predicted - target + 1e-6| plus its weight times the same of first
    differences. Rows are frames 1, 2, ..., T; those that were not seen, and the last, are zeros in both and
    *do* count, and so does the jump to them. The first difference is that of frames 1 and 2. An example
    without any frame, which fills up an evaluation's last batch, counts nothing.
    """
    scored_BT1 = jnp.pad(x.seen_BT[:, 1:], ((0, 0), (0, 1)))[..., None]
    exists_B = x.seen_BT.any(1)

    def rows(motion_BTC: Array) -> Array:
        shifted_BTC = jnp.pad(as_float(motion_BTC)[:, 1:], ((0, 0), (0, 1), (0, 0)))
        return jnp.where(scored_BT1, shifted_BTC, 0)

    def mean_distance(p: Array, t: Array) -> LossSums:
        """Every row counts, so an example's mean is its value and the example the item."""
        sums_B = jnp.where(exists_B, _norm(p - t + VICO_EPSILON).mean(1), 0)
        return LossSums(sums_B, exists_B.astype(sums_B.dtype))

    predicted_BTC, target_BTC = rows(x.predicted_BTC), rows(x.target_BTC)
    terms = {}
    for part in x.space.parts:
        p, t = (motion_BTC[..., x.space.slice(part.name)] for motion_BTC in (predicted_BTC, target_BTC))
        terms[part.name] = mean_distance(p, t)
        change = mean_distance(jnp.diff(p, axis=1), jnp.diff(t, axis=1))
        weight = VICO_CHANGE_WEIGHT.get(part.name, 1.0)
        terms[f"{part.name}_spiky"] = LossSums(weight * change.sums, change.counts)
    sums_B = LossSums.total(terms)
    return LossSums(sums_B, exists_B.astype(sums_B.dtype), terms)

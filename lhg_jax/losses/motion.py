"""Losses between predicted and recorded listener motion.

All have one signature: loss(pred_BTC, target_BTC, valid_BT, space) -> LossValue, both motions in `space`, of
any float type. Frame 0 is the given reference: it is not scored, but the first change is taken from it.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from lhg_jax.losses.base import LossValue, as_float, masked_loss, total
from lhg_jax.motion import CoefficientSpace

Coefficients = Float[Array, "batch frame coeff"]
Mask = Bool[Array, "batch frame"]

VICO_CHANGE_WEIGHT = {"exp": 0.001}  # other parts have weight 1
VICO_EPSILON = 1e-6  # added to every component, as torch.nn.functional.pairwise_distance does


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


def _scored(valid_BT: Array) -> Array:
    return valid_BT.at[:, 0].set(False)


def _changes(error_BTC: Array, valid_BT: Array, order: int) -> Array:
    """Error of the `order`-th difference in time; zero where one of its frames is missing."""
    frames = error_BTC.shape[1]
    for _ in range(order):
        error_BTC = jnp.pad(error_BTC[:, 1:] - error_BTC[:, :-1], ((0, 0), (1, 0), (0, 0)))
    complete_BT = valid_BT
    for step in range(1, order + 1):
        complete_BT &= jnp.pad(valid_BT, ((0, 0), (step, 0)))[:, :frames]
    return jnp.where(complete_BT[..., None], error_BTC, 0)


def _eq6_terms(
    error_BTC: Array,
    valid_BT: Array,
    space: CoefficientSpace,
    w1: float,
    w2: float,
    size: Callable[[Array], Array] = _norm,
) -> dict[str, Array]:
    change_BTC = _changes(error_BTC, valid_BT, 1)
    terms = {}
    for (name, indices), weight in zip(_groups(space).items(), (w1, w2), strict=True):
        terms[name] = size(error_BTC[..., indices])
        terms[f"{name}_change"] = weight * size(change_BTC[..., indices])
    return terms


def _error(pred_BTC: Array, target_BTC: Array, valid_BT: Array) -> Array:
    return jnp.where(valid_BT[..., None], as_float(pred_BTC) - as_float(target_BTC), 0)


def paper(
    pred_BTC: Coefficients,
    target_BTC: Coefficients,
    valid_BT: Mask,
    space: CoefficientSpace,
    *,
    w1: float = 1.0,
    w2: float = 1.0,
) -> LossValue:
    """Eq. 6 of Chang et al. (MM '23): |d beta| + |d p| + w1 |d change of beta| + w2 |d change of p|, a frame.

    | | is the L2 norm over coefficients, beta the expression, p all others, change the difference to the
    frame before.

    Args:
      pred_BTC, target_BTC, valid_BT, space: See the module's docstring.
      w1, w2: Weights of the two changes; the paper prints none.
    """
    error_BTC = _error(pred_BTC, target_BTC, valid_BT)
    return masked_loss(_eq6_terms(error_BTC, valid_BT, space, w1, w2), _scored(valid_BT))


def squared(
    pred_BTC: Coefficients,
    target_BTC: Coefficients,
    valid_BT: Mask,
    space: CoefficientSpace,
    *,
    w1: float = 1.0,
    w2: float = 1.0,
    pose: float = 1.0,
) -> LossValue:
    """Eq. 6 with squared norms: the same four terms, in which short large motions (nods) count for more.

    Args:
      pred_BTC, target_BTC, valid_BT, space: See the module's docstring.
      w1, w2: As in `paper`.
      pose: Weight of both terms of p. Squares of coefficients in different units (interocular distances,
        radians) add up to a sum that the larger numbers rule.
    """
    error_BTC = _error(pred_BTC, target_BTC, valid_BT)
    terms = _eq6_terms(error_BTC, valid_BT, space, w1, w2, _square)
    terms |= {name: pose * terms[name] for name in ("pose", "pose_change")}
    return masked_loss(terms, _scored(valid_BT))


def l2_accel(
    pred_BTC: Coefficients,
    target_BTC: Coefficients,
    valid_BT: Mask,
    space: CoefficientSpace,
    *,
    w1: float = 1.0,
    w2: float = 1.0,
    w_accel: float = 1.0,
) -> LossValue:
    """`paper` plus `w_accel` times the L2 norms of the errors of second differences: against trembling."""
    error_BTC = _error(pred_BTC, target_BTC, valid_BT)
    terms = _eq6_terms(error_BTC, valid_BT, space, w1, w2)
    accel_BTC = _changes(error_BTC, valid_BT, 2)
    for name, indices in _groups(space).items():
        terms[f"{name}_accel"] = w_accel * _norm(accel_BTC[..., indices])
    return masked_loss(terms, _scored(valid_BT))


def huber(
    pred_BTC: Coefficients,
    target_BTC: Coefficients,
    valid_BT: Mask,
    space: CoefficientSpace,
    *,
    delta: float = 0.1,
) -> LossValue:
    """Huber loss of every coefficient, summed over expression and over pose; quadratic below `delta`."""
    loss_BTC = optax.losses.huber_loss(_error(pred_BTC, target_BTC, valid_BT), delta=delta)
    terms = {name: loss_BTC[..., indices].sum(-1) for name, indices in _groups(space).items()}
    return masked_loss(terms, _scored(valid_BT))


def vico(
    pred_BTC: Coefficients, target_BTC: Coefficients, valid_BT: Mask, space: CoefficientSpace
) -> LossValue:
    """The loss of the ViCo challenge's baseline, with its habits, to be comparable.

    For each part of the space: |pred - target + 1e-6| plus its weight times the same of first differences.
    Rows are frames 1, 2, ..., T; those that are not valid, and the last, are zeros in both and *do* count,
    and so does the jump to them. The first difference is that of frames 1 and 2.
    """
    scored_BT1 = jnp.pad(valid_BT[:, 1:], ((0, 0), (0, 1)))[..., None]

    def rows(motion_BTC: Array) -> Array:
        shifted_BTC = jnp.pad(as_float(motion_BTC)[:, 1:], ((0, 0), (0, 1), (0, 0)))
        return jnp.where(scored_BT1, shifted_BTC, 0)

    pred_BTC, target_BTC = rows(pred_BTC), rows(target_BTC)
    terms = {}
    for part in space.parts:
        p, t = (motion_BTC[..., space.slice(part.name)] for motion_BTC in (pred_BTC, target_BTC))
        terms[part.name] = _row_mean(_norm(p - t + VICO_EPSILON))
        change = _row_mean(_norm(jnp.diff(p, axis=1) - jnp.diff(t, axis=1) + VICO_EPSILON))
        weight = VICO_CHANGE_WEIGHT.get(part.name, 1.0)
        terms[f"{part.name}_spiky"] = LossValue(weight * change.values, change.count)
    values = total(terms)
    return LossValue(values, jnp.ones_like(values), terms)


def _row_mean(distance_BT: Array) -> LossValue:
    """Every row counts, so an example's mean is its value and the example the item."""
    values = distance_BT.mean(1)
    return LossValue(values, jnp.ones_like(values))

"""One training step and one evaluation step, as free functions without jit, mesh or logging."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from lhg_jax.contract import Batch
from lhg_jax.training.noise import Perturb, unchanged
from lhg_jax.training.state import PyTree, TrainState

Metrics = dict[str, Float[Array, ""]]
Objective = Callable[[PyTree, Batch], tuple[Float[Array, ""], Metrics]]
# (params, batch_stats, batch, key) -> loss, (metrics with the loss, batch_stats)
LossFn = Callable[..., tuple[Float[Array, ""], tuple[Metrics, PyTree]]]


def train_step(
    state: TrainState,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    model: nn.Module,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    micro_batches: int = 1,
    remat: bool = False,
    perturb: Perturb = unchanged,
) -> tuple[TrainState, Metrics]:
    """One update of all parameters on one global batch.

    An update whose gradient is not finite changes nothing but the counters.

    Args:
      state: before the step.
      batch: crops with leading axis B.
      key: of the run; dropout and noise draw from `fold_in(fold_in(key, state.step), micro-batch)`.
      model: called as `model(features, first_frame, train=True)`.
      objective: (model output, batch) -> (loss, metrics).
      optimizer: of `optimizer.make_optimizer`.
      ema_decay: weight of the old average, in [0, 1); less in the first steps, `ema_weight`.
      micro_batches: divides B; see `gradient`.
      remat: see `loss_function`.
      perturb: of `noise.make_noise`.

    Returns:
      The state after the step, and the metrics of the objective with `loss`, `grad_norm` and both counters.
    """
    loss_fn = loss_function(model, objective, state.constants, perturb, remat)
    return update(
        state,
        batch,
        key,
        loss_fn=loss_fn,
        optimizer=optimizer,
        ema_decay=ema_decay,
        micro_batches=micro_batches,
    )


def update(
    state: TrainState,
    batch: Any,
    key: PRNGKeyArray,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    micro_batches: int = 1,
) -> tuple[TrainState, Metrics]:
    """`train_step` for any loss of a batch (a pytree whose leaves have the leading axis B)."""
    key = jax.random.fold_in(key, state.step)
    grads, metrics, batch_stats = gradient(
        loss_fn, state.params, state.batch_stats, batch, key, micro_batches
    )
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(grad_norm)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes integer counters with floats
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    weight = ema_weight(state.step, ema_decay)
    ema_params = jax.tree.map(lambda old, new: old + weight * (new - old), state.ema_params, params)
    updated = dataclasses.replace(
        state,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        ema_params=ema_params,
        skipped_in_a_row=jnp.zeros_like(state.skipped_in_a_row),
    )
    kept = dataclasses.replace(state, skipped=state.skipped + 1, skipped_in_a_row=state.skipped_in_a_row + 1)
    new_state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), updated, kept)
    counters = {name: getattr(new_state, name) for name in ("skipped", "skipped_in_a_row")}
    return (
        dataclasses.replace(new_state, step=state.step + 1),
        {**metrics, "grad_norm": grad_norm, **counters},
    )


def loss_function(
    model: nn.Module, objective: Objective, constants: PyTree, perturb: Perturb, remat: bool
) -> LossFn:
    """The loss of one (micro-)batch as a function of the parameters.

    With `remat` only what convolutions and matrix products return is kept for the backward pass; norms,
    activations and masks, which fill most of the memory and cost little time, are computed again.
    """

    def loss_fn(params, batch_stats, batch, key):
        noise, dropout = jax.random.split(key)
        batch = perturb(batch, constants["motion_scale"]["std"], noise)
        output, updates = model.apply(
            {"params": params, "batch_stats": batch_stats, "constants": constants},
            batch.features,
            batch.listener_motion[:, 0],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout},
        )
        loss, metrics = objective(output, batch)
        return loss, ({**metrics, "loss": loss}, updates["batch_stats"])

    return jax.checkpoint(loss_fn, policy=_is_product) if remat else loss_fn


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in ("conv_general_dilated", "dot_general")


def gradient(
    loss_fn: LossFn, params: PyTree, batch_stats: PyTree, batch: Batch, key: PRNGKeyArray, parts: int
) -> tuple[PyTree, Metrics, PyTree]:
    """Gradient, metrics and batch statistics after `batch`, which is seen in `parts` micro-batches.

    Gradients and metrics are means over micro-batches, one of which holds every `parts`-th clip, so that each
    device keeps the clips it has. That equals the whole batch's for losses that are means over clips of equal
    length. Batch norms see one micro-batch at a time, and contrastive negatives come from it alone.
    """

    def one(batch_stats, indexed):
        number, part = indexed
        grads, (metrics, new_stats) = jax.grad(loss_fn, has_aux=True)(
            params, batch_stats, part, jax.random.fold_in(key, number)
        )
        return new_stats, (grads, metrics)

    if parts == 1:
        batch_stats, (grads, metrics) = one(batch_stats, (0, batch))
        return grads, metrics, batch_stats

    def add(carry, indexed):
        batch_stats, total = carry
        batch_stats, new = one(batch_stats, indexed)
        return (batch_stats, jax.tree.map(jnp.add, total, new)), None

    every = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    first = jax.tree.map(lambda x: x[0], every)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, batch_stats, (0, first))[1]
    )
    (batch_stats, total), _ = jax.lax.scan(add, (batch_stats, zeros), (jnp.arange(parts), every))
    grads, metrics = jax.tree.map(lambda x: x / parts, total)
    return grads, metrics, batch_stats


def ema_weight(step: Array, decay: float) -> Float[Array, ""]:
    """Weight of the newest parameters in the average: 1 - decay, more in the first steps.

    Follows 1 - min(decay, (1 + step) / (10 + step)), so that the random initial values are soon forgotten.
    """
    step = step.astype(jnp.float32)
    return 1 - jnp.minimum(decay, (1 + step) / (10 + step))


def eval_step(state: TrainState, batch: Batch, *, model: nn.Module) -> PyTree:
    """Output of the averaged parameters for one batch, batch norms in evaluation mode."""
    return model.apply(state.eval_variables, batch.features, batch.listener_motion[:, 0], train=False)

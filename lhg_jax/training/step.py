"""One training step and one evaluation step, as free functions without jit, mesh or logging."""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from lhg_jax.contract import Batch, LossSums
from lhg_jax.training.noise import AddNoise, no_noise
from lhg_jax.training.state import PyTree, TrainState

Metrics = dict[str, Float[Array, ""]]
# The loss is the sum of the means of its parts, each over its own items; their terms go to the log.
Losses = tuple[LossSums, ...]
Objective = Callable[[PyTree, Batch], Losses]
LossFn = Callable[..., tuple[Losses, PyTree]]  # (params, batch_stats, batch, key) -> losses, batch_stats


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
    add_noise: AddNoise = no_noise,
) -> tuple[TrainState, Metrics]:
    """One update of all parameters on one global batch.

    An update whose gradient is not finite changes nothing but the counters.

    Args:
      state: before the step.
      batch: crops with leading axis B.
      key: of the run; dropout and noise draw from `fold_in(fold_in(key, state.step), micro-batch)`.
      model: called as `model(features, first_frame, train=True)`.
      objective: (model output, batch) -> parts of the loss.
      optimizer: of `optimizer.make_optimizer`.
      ema_decay: weight of the old average, in [0, 1); less in the first steps, `ema_weight`.
      micro_batches: divides B; see `gradient`.
      remat: see `loss_function`.
      add_noise: of `noise.make_noise`.

    Returns:
      The state after the step, and the means of all terms with `loss`, `grad_norm` and both counters.
    """
    loss_fn = loss_function(model, objective, state.constants, add_noise, remat)
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
    model: nn.Module, objective: Objective, constants: PyTree, add_noise: AddNoise, remat: bool
) -> LossFn:
    """The losses of one (micro-)batch, summed over its clips, as a function of the parameters.

    With `remat` only what convolutions and matrix products return is kept for the backward pass; norms,
    activations and masks, which fill most of the memory and cost little time, are computed again.
    """

    def loss_fn(params, batch_stats, batch, key):
        noise, dropout = jax.random.split(key)
        batch = add_noise(batch, constants["motion_scale"]["std"], noise)
        output, updates = model.apply(
            {"params": params, "batch_stats": batch_stats, "constants": constants},
            batch.features,
            batch.listener_motion[:, 0],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout},
        )
        losses = jax.tree.map(jnp.sum, objective(output, batch))
        return losses, updates["batch_stats"]

    return jax.checkpoint(loss_fn, policy=_is_product) if remat else loss_fn


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in ("conv_general_dilated", "dot_general")


def gradient(
    loss_fn: LossFn, params: PyTree, batch_stats: PyTree, batch: Any, key: PRNGKeyArray, parts: int
) -> tuple[PyTree, Metrics, PyTree]:
    """Gradient, metrics and batch statistics after `batch`, which is seen in `parts` micro-batches.

    A micro-batch holds every `parts`-th clip, so that each device keeps the clips it has. Its sums are
    divided by the whole batch's counts: each frame weighs as much as in one big batch. Batch norms see one
    micro-batch at a time, and contrastive negatives come from it alone.
    """
    split = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    numbered = (jnp.arange(parts), split)
    counts = None if parts == 1 else _counts(loss_fn, params, batch_stats, numbered, key)

    def one(batch_stats, indexed):
        number, part = indexed

        def loss(params):
            losses, new_stats = loss_fn(params, batch_stats, part, jax.random.fold_in(key, number))
            return _sum_of_means(losses, counts), (losses, new_stats)

        grads, (losses, new_stats) = jax.grad(loss, has_aux=True)(params)
        return new_stats, (grads, losses)

    if parts == 1:
        batch_stats, (grads, losses) = one(batch_stats, (0, batch))
        return grads, mean_terms(losses), batch_stats

    def add(carry, indexed):
        batch_stats, total = carry
        batch_stats, new = one(batch_stats, indexed)
        return (batch_stats, jax.tree.map(jnp.add, total, new)), None

    first = jax.tree.map(lambda x: x[0], numbered)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, batch_stats, first)[1])
    (batch_stats, (grads, losses)), _ = jax.lax.scan(add, (batch_stats, zeros), numbered)
    return grads, mean_terms(losses), batch_stats


def _counts(
    loss_fn: LossFn, params: PyTree, batch_stats: PyTree, numbered: PyTree, key: PRNGKeyArray
) -> list[Array]:
    """Items of each part of the loss in all micro-batches.

    They follow from masks alone: XLA drops the rest of this forward pass, of which nothing is used.
    """

    def count(_, indexed):
        number, part = indexed
        losses, _ = loss_fn(params, batch_stats, part, jax.random.fold_in(key, number))
        return None, [loss.counts for loss in losses]

    return jax.tree.map(jnp.sum, jax.lax.scan(count, None, numbered)[1])


def mean_terms(losses: Losses) -> Metrics:
    """Mean of every term, and the loss itself."""
    terms = {name: mean for loss in losses for name, mean in loss.term_means().items()}
    return {**terms, "loss": _sum_of_means(losses)}


def _sum_of_means(losses: Losses, counts: list[Array] | None = None) -> Float[Array, ""]:
    """The loss; with `counts` of a whole batch, the share of its part that `losses` are of."""
    counts = [loss.counts for loss in losses] if counts is None else counts
    means = (loss.sums / jnp.maximum(n, 1) for loss, n in zip(losses, counts, strict=True))
    return functools.reduce(operator.add, means)


def ema_weight(step: Array, decay: float) -> Float[Array, ""]:
    """Weight of the newest parameters in the average: 1 - decay, more in the first steps.

    Follows 1 - min(decay, (1 + step) / (10 + step)), so that the random initial values are soon forgotten.
    """
    step = step.astype(jnp.float32)
    return 1 - jnp.minimum(decay, (1 + step) / (10 + step))


def eval_step(state: TrainState, batch: Batch, *, model: nn.Module) -> PyTree:
    """Output of the averaged parameters for one batch, batch norms in evaluation mode."""
    return model.apply(state.eval_variables, batch.features, batch.listener_motion[:, 0], train=False)

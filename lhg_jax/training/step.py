"""One training step and one evaluation step, as free functions without jit, mesh or logging."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from lhg_jax.data.schema import Batch
from lhg_jax.training.state import PyTree, TrainState

Metrics = dict[str, Float[Array, ""]]
Objective = Callable[[PyTree, Batch], tuple[Float[Array, ""], Metrics]]


def train_step(
    state: TrainState,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    model: nn.Module,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, Metrics]:
    """One update of all parameters on one global batch.

    An update whose gradient is not finite changes nothing but the counters.

    Args:
      state: before the step.
      batch: crops with leading axis B.
      key: of the run; dropout draws from `fold_in(key, state.step)`.
      model: called as `model(features, first_frame, train=True)`.
      objective: (model output, batch) -> (loss, metrics).
      optimizer: of `make_optimizer`.
      ema_decay: weight of the old average, in [0, 1); less in the first steps, `ema_weight`.

    Returns:
      The state after the step, and the metrics of the objective with `loss`, `grad_norm` and both counters.
    """

    def loss_fn(params):
        variables = {"params": params, "batch_stats": state.batch_stats, "constants": state.constants}
        output, updates = model.apply(
            variables,
            batch.features,
            batch.target[:, 0],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.fold_in(key, state.step)},
        )
        loss, metrics = objective(output, batch)
        return loss, (metrics, updates["batch_stats"])

    (loss, (metrics, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
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
    metrics |= {
        "loss": loss,
        "grad_norm": grad_norm,
        "skipped": new_state.skipped,
        "skipped_in_a_row": new_state.skipped_in_a_row,
    }
    return dataclasses.replace(new_state, step=state.step + 1), metrics


def ema_weight(step: Array, decay: float) -> Float[Array, ""]:
    """Weight of the newest parameters in the average: 1 - decay, more in the first steps.

    Follows 1 - min(decay, (1 + step) / (10 + step)), so that the random initial values are soon forgotten.
    """
    step = step.astype(jnp.float32)
    return 1 - jnp.minimum(decay, (1 + step) / (10 + step))


def eval_step(state: TrainState, batch: Batch, *, model: nn.Module) -> PyTree:
    """Output of the averaged parameters for one batch, batch norms in evaluation mode."""
    return model.apply(state.eval_variables, batch.features, batch.target[:, 0], train=False)

"""TrainState: everything that a step changes."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from lhg_jax.contract import Batch
from lhg_jax.models.motion_scale import with_motion_statistics

PyTree = Any
Array = Any  # a scalar here; shapes, shardings and numpy arrays take its place in trees of the same structure

# Streams of random numbers: keys are `fold_in(key(seed), stream)`, then `fold_in(..., step)`.
INIT_STREAM, STEP_STREAM = 0, 1


@flax.struct.dataclass
class TrainState:
    """All that is saved, besides the place in the data; random keys are derived from seed and step.

    Attributes:
      step: int32, number of steps taken, skipped updates included.
      params: float32 parameters of the model.
      batch_stats: running means and variances of its batch norms.
      constants: statistics of the training set's motion, which never change (`MotionScale`).
      opt_state: of the optimiser.
      ema_params: running average of `params`, the ones that are evaluated and exported.
      skipped: updates skipped so far because a gradient was not finite.
      skipped_in_a_row: the same, since the last good update.
    """

    step: Array
    params: PyTree
    batch_stats: PyTree
    constants: PyTree
    opt_state: PyTree
    ema_params: PyTree
    skipped: Array
    skipped_in_a_row: Array

    @property
    def eval_variables(self) -> dict[str, PyTree]:
        """Variables for `model.apply` in evaluation and export."""
        return {"params": self.ema_params, "batch_stats": self.batch_stats, "constants": self.constants}


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    batch: Batch,
    seed: int,
    mean: Float[np.ndarray, "coeff"],
    std: Float[np.ndarray, "coeff"],
) -> TrainState:
    """A fresh state.

    Args:
      model: called as `model(features, first_frame, train=...)`.
      optimizer: of `optimizer.make_optimizer`.
      batch: gives shapes only.
      seed: of the run.
      mean, std: of each coefficient over the training set, in its own unit.
    """
    key = jax.random.fold_in(jax.random.key(seed), INIT_STREAM)
    batch = jax.tree.map(jnp.asarray, batch)
    variables = model.init(key, batch.features, batch.listener_motion[:, 0], train=False)
    variables = with_motion_statistics(variables, mean, std)
    params = variables["params"]
    zero = jnp.zeros((), jnp.int32)
    return TrainState(
        step=zero,
        params=params,
        batch_stats=variables["batch_stats"],
        constants=variables["constants"],
        opt_state=optimizer.init(params),
        ema_params=jax.tree.map(jnp.copy, params),
        skipped=zero,
        skipped_in_a_row=zero,
    )

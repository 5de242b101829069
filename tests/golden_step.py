"""Three training steps of a small listener on fixed numbers.

    python tests/golden_step.py

records them in golden_step.json: only when the numbers are *meant* to change, and the commit says why.
Batch and weights come from numpy, so that neither JAX's random numbers nor linen's initialisers matter.
"""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from models_helpers import TINY, random_variables
from training_toy import random_batch

from lhg_jax.config import LossConfig, OptimizerConfig
from lhg_jax.models import Listener
from lhg_jax.motion import LANDMARK
from lhg_jax.training.objective import make_objective
from lhg_jax.training.optimizer import make_optimizer
from lhg_jax.training.state import TrainState
from lhg_jax.training.step import train_step

RECORD = Path(__file__).with_suffix(".json")
STEPS = 3
MODEL = dataclasses.replace(TINY, coeff=LANDMARK.size, layers=2)
# The norm is clipped, and the first step has a learning rate of 0: all of the optimiser is passed through.
OPTIMIZER = OptimizerConfig(
    learning_rate=1e-2, warmup_steps=1, weight_decay=0.1, clip_norm=0.5, ema_decay=0.9
)


def start(model, optimizer, batch) -> TrainState:
    """A state with the weights of `random_variables`."""
    variables = jax.tree.map(
        jnp.asarray, random_variables(model, batch.features, batch.listener_motion[:, 0], train=False)
    )
    params, zero = variables["params"], jnp.zeros((), jnp.int32)
    rest = {"batch_stats": variables["batch_stats"], "constants": variables["constants"]}
    counters = {"step": zero, "skipped": zero, "skipped_in_a_row": zero}
    return TrainState(params=params, ema_params=params, opt_state=optimizer.init(params), **rest, **counters)


def measure(remat: bool = False) -> dict[str, float]:
    """Every metric of every step, and the norms of what the last one left, by module."""
    batch = random_batch(0, size=3, frames=10, gaps=False)
    for mask in (batch.features.in_clip, batch.features.speaker_seen, batch.listener_seen):
        mask[1, 7:] = False
    batch = jax.tree.map(jnp.asarray, batch)
    model, optimizer = Listener(MODEL), make_optimizer(OPTIMIZER, STEPS)
    objective = make_objective(LossConfig(contrastive_weight=0.1, chunk=16), LANDMARK)
    settings = {
        "model": model,
        "objective": objective,
        "optimizer": optimizer,
        "ema_decay": OPTIMIZER.ema_decay,
    }
    # Unoptimised: compiled in seconds, and nothing is reordered.
    options = {"xla_backend_optimization_level": 0}
    step = jax.jit(functools.partial(train_step, **settings, remat=remat), compiler_options=options)
    state, numbers = start(model, optimizer, batch), {}
    for i in range(STEPS):
        state, metrics = step(state, batch, jax.random.key(0))
        numbers |= {f"step {i} {name}": float(value) for name, value in sorted(metrics.items())}
    for tree in ("params", "ema_params", "batch_stats"):
        for module, leaves in sorted(getattr(state, tree).items()):
            numbers[f"{tree} {module}"] = float(np.float64(optax.tree.norm(leaves)))
    return numbers


if __name__ == "__main__":
    RECORD.write_text(json.dumps(measure(), indent=1) + "\n")

"""Several training steps in one program: the host hands over arrays and kernels once for all of them."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from lhg_jax.config import TrainConfig
from lhg_jax.training.state import PyTree
from lhg_jax.util.errors import UserError

Step = Callable[[Any, Any, Any], tuple[Any, PyTree]]  # (state, batch, key) -> state, metrics


def many_steps(step: Step, count: int) -> Step:
    """`count` calls of `step` as one, on as many batches [count, ...]; metrics come out as [count].

    A count of 1 gives `step` itself, without the axis.
    """
    if count == 1:
        return step

    def steps(state, batches, key):
        return jax.lax.scan(lambda state, batch: step(state, batch, key), state, batches)

    return steps


def stacked(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """Batches as `many_steps` takes them. The stream's place is behind all that were handed out."""
    if count == 1:
        return batches
    groups = iter(lambda: list(itertools.islice(batches, count)), [])
    return (jax.tree.map(lambda *leaves: np.stack(leaves), *group) for group in groups)


def check_steps_per_call(config: TrainConfig) -> None:
    """Raises `UserError` where something is due between two calls."""
    count, loop = config.train.steps_per_call, config.train
    if count < 1:
        raise UserError(f"train.steps_per_call={count}: not at least 1")
    due = {
        "train.steps": loop.steps,
        "train.log_every": loop.log_every,
        "train.eval_every": loop.eval_every,
        "train.sample_every": loop.sample_every,
        "checkpoint.every": config.checkpoint.every,
    }
    for name, every in due.items():
        if every % count:
            raise UserError(f"{name}={every} does not divide by train.steps_per_call={count}")

"""Optimisers and schedules of the step size, by name; which parameters decay."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lhg_jax.config import OptimizerConfig
from lhg_jax.util.errors import UserError

PyTree = Any


def _adamw(rate: optax.Schedule, config: OptimizerConfig) -> optax.GradientTransformation:
    mask = decay_mask(config.no_decay)
    return optax.adamw(rate, config.beta1, config.beta2, weight_decay=config.weight_decay, mask=mask)


def _lamb(rate: optax.Schedule, config: OptimizerConfig) -> optax.GradientTransformation:
    mask = decay_mask(config.no_decay)
    return optax.lamb(rate, config.beta1, config.beta2, weight_decay=config.weight_decay, mask=mask)


def _lion(rate: optax.Schedule, config: OptimizerConfig) -> optax.GradientTransformation:
    mask = decay_mask(config.no_decay)
    return optax.lion(rate, config.beta1, config.beta2, weight_decay=config.weight_decay, mask=mask)


def _sgd(rate: optax.Schedule, config: OptimizerConfig) -> optax.GradientTransformation:
    momentum = optax.trace(config.beta1, nesterov=True)
    decay = optax.add_decayed_weights(config.weight_decay, decay_mask(config.no_decay))
    return optax.chain(momentum, decay, optax.scale_by_learning_rate(rate))


def _cosine(config: OptimizerConfig, steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(config.learning_rate, steps)


def _linear(config: OptimizerConfig, steps: int) -> optax.Schedule:
    return optax.linear_schedule(config.learning_rate, 0.0, steps)


def _constant(config: OptimizerConfig, steps: int) -> optax.Schedule:
    return optax.constant_schedule(config.learning_rate)


def _rsqrt(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Peak / sqrt(1 + steps since the warm-up / its length), as in Vaswani et al. 2017."""
    warmup = max(config.warmup_steps, 1)
    # Before the end of the warm-up, where this is not used, the count is negative.
    return lambda count: config.learning_rate * (warmup / (warmup + jnp.maximum(count, 0))) ** 0.5


OPTIMIZERS: Mapping[str, Callable[[optax.Schedule, OptimizerConfig], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "lamb": _lamb,
    "lion": _lion,
    "sgd": _sgd,
}
SCHEDULES: Mapping[str, Callable[[OptimizerConfig, int], optax.Schedule]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
    "rsqrt": _rsqrt,
}


def make_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Step size by step: linear from 0 to the peak, then what `config.schedule` says until step `steps`.

    Raises `UserError` for a name that is not in `SCHEDULES`, or a warm-up as long as the run.
    """
    if config.schedule not in SCHEDULES:
        raise UserError(f"optimizer.schedule: no {config.schedule!r} (there are {', '.join(SCHEDULES)})")
    if not 0 <= config.warmup_steps < steps:
        raise UserError(f"optimizer.warmup_steps={config.warmup_steps} is not in [0, train.steps={steps})")
    after = SCHEDULES[config.schedule](config, steps - config.warmup_steps)
    if not config.warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Clipping by the global norm, then the optimiser that `config` names.

    Raises `UserError` for a name that is not in `OPTIMIZERS`, and as `make_schedule` does.
    """
    if config.name not in OPTIMIZERS:
        raise UserError(f"optimizer.name: no {config.name!r} (there are {', '.join(OPTIMIZERS)})")
    rule = OPTIMIZERS[config.name](make_schedule(config, steps), config)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def decay_mask(no_decay: tuple[str, ...] = ()) -> Callable[[PyTree], PyTree]:
    """Says of each parameter whether it decays.

    Matrices and kernels do, vectors (biases, scales of norms) do not, nor does anything whose path
    (`decoder/gru/...`) contains a word of `no_decay`.
    """

    def decays(path: tuple, leaf: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return leaf.ndim > 1 and not any(word in name for word in no_decay)

    return lambda params: jax.tree_util.tree_map_with_path(decays, params)

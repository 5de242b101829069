import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.config import OptimizerConfig
from lhg_jax.training.optimizer import OPTIMIZERS, SCHEDULES, decay_mask, make_optimizer, make_schedule
from lhg_jax.util.errors import UserError

PARAMS = {"gru": {"kernel": jnp.ones((2, 3))}, "dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_kernels_decay(name):
    config = OptimizerConfig(
        learning_rate=0.1, name=name, schedule="constant", warmup_steps=0, weight_decay=0.5, no_decay=("gru",)
    )
    optimizer = make_optimizer(config, 10)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(zeros, optimizer.init(PARAMS), PARAMS)
    assert not updates["gru"]["kernel"].any() and not updates["dense"]["bias"].any()
    assert (updates["dense"]["kernel"] < 0).all()


def test_mask():
    assert decay_mask(("dense/b",))(PARAMS) == {
        "gru": {"kernel": True},
        "dense": {"kernel": True, "bias": False},
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    target = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    optimizer = make_optimizer(
        OptimizerConfig(learning_rate=0.05, name=name, warmup_steps=5, weight_decay=0.0), 200
    )
    params = jnp.ones((4, 3))
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(2 * (params - target), state, params)
        return params + updates, state

    for _ in range(200):
        params, state = step(params, state)
    assert np.abs(params - target).mean() < 0.1 * np.abs(1 - target).mean()


def test_gradients_are_clipped_by_their_global_norm():
    config = OptimizerConfig(
        learning_rate=1.0,
        name="sgd",
        schedule="constant",
        warmup_steps=0,
        weight_decay=0.0,
        beta1=0.0,
        clip_norm=0.5,
    )
    optimizer = make_optimizer(config, 10)
    grads = jax.tree.map(lambda x: 3 * x, PARAMS)
    updates, _ = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    norm = np.sqrt(sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(updates)))
    assert norm == pytest.approx(0.5, rel=1e-5)


EXPECTED = {"cosine": (0.5, 0.0), "linear": (0.5, 0.0), "constant": (1.0, 1.0), "rsqrt": (0.5345, 0.4082)}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    schedule = make_schedule(OptimizerConfig(learning_rate=1.0, schedule=name, warmup_steps=20), 120)
    assert [float(schedule(step)) for step in (0, 10, 20)] == pytest.approx([0, 0.5, 1])
    assert [float(schedule(step)) for step in (70, 120)] == pytest.approx(EXPECTED[name], abs=1e-3)


def test_without_warmup_the_first_step_has_the_peak():
    assert float(make_schedule(OptimizerConfig(learning_rate=1.0, warmup_steps=0), 10)(0)) == 1.0


def test_bad_names_and_warmups():
    with pytest.raises(UserError, match=r"optimizer.name: no 'adam' \(there are adamw, lamb, lion, sgd\)"):
        make_optimizer(OptimizerConfig(name="adam"), 1000)
    with pytest.raises(UserError, match=r"optimizer.schedule: no 'step' \(there are cosine"):
        make_optimizer(OptimizerConfig(schedule="step"), 1000)
    with pytest.raises(UserError, match=r"warmup_steps=500 is not in \[0, train.steps=100\)"):
        make_optimizer(OptimizerConfig(), 100)

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_toy import ToyListener, random_batch, toy_objective

from lhg_jax.config import AugmentConfig, OptimizerConfig
from lhg_jax.losses import LossSums, MotionInputs, motion
from lhg_jax.motion import LANDMARK
from lhg_jax.training.noise import make_noise, no_noise
from lhg_jax.training.optimizer import make_optimizer
from lhg_jax.training.sharding import batch_sharding, create_sharded, make_mesh, replicated
from lhg_jax.training.state import init_state
from lhg_jax.training.step import ema_weight, eval_step, gradient, train_step

OPTIMIZER = OptimizerConfig(learning_rate=1e-2, warmup_steps=2, weight_decay=0.1, ema_decay=0.9)
MEAN, STD = np.zeros(70, np.float32), np.full(70, 0.1, np.float32)


@functools.cache
def setup(dropout=0.0, steps=50, objective=toy_objective, devices=1, fsdp=1, model=None, **options):
    model = model or ToyListener(dropout)
    optimizer = make_optimizer(OPTIMIZER, steps)
    mesh = make_mesh(fsdp, jax.devices()[:devices])
    batch = random_batch(0)
    state = create_sharded(lambda: init_state(model, optimizer, batch, 3, MEAN, STD), mesh)
    parts = {"model": model, "objective": objective, "optimizer": optimizer}
    step = jax.jit(functools.partial(train_step, **parts, ema_decay=0.9, **options))
    key = jax.device_put(jax.random.key(5), replicated(mesh))
    return state, lambda s, b: step(s, jax.device_put(b, batch_sharding(mesh)), key)


def run(steps, make=random_batch, **kwargs):
    state, step = setup(**kwargs)
    losses = []
    for i in range(steps):
        state, metrics = step(state, make(i))
        losses.append(float(metrics["loss"]))
    return jax.device_get(state), losses


def test_loss_falls():
    _, losses = run(30)
    assert losses[-1] < 0.4 * losses[0]


def test_same_seed_same_numbers():
    first, _ = run(4, dropout=0.3)
    setup.cache_clear()
    second, _ = run(4, dropout=0.3)
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_dropout_differs_between_steps():
    state, step = setup(dropout=0.5)
    batch = random_batch(0)
    _, now = step(state, batch)
    _, later = step(state.replace(step=state.step + 1), batch)
    assert float(now["loss"]) != float(later["loss"])


@pytest.mark.parametrize("fsdp", [1, 2])
def test_eight_devices_equal_one(fsdp):
    one, losses_of_one = run(5)
    eight, losses_of_eight = run(5, devices=8, fsdp=fsdp)
    np.testing.assert_allclose(losses_of_eight, losses_of_one, rtol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), eight, one)


def nan_objective(output, batch):
    """Not finite where the batch says so (index 99)."""
    (loss,) = toy_objective(output, batch)
    return (loss.replace(sums=loss.sums * jnp.where(jnp.any(batch.index == 99), jnp.nan, 1.0)),)


def test_non_finite_gradient_skips_the_update():
    state, step = setup(objective=nan_objective)
    state, _ = step(state, random_batch(0))
    bad = random_batch(1)
    bad = bad.replace(index=np.full_like(bad.index, 99))
    after, metrics = step(state, bad)
    assert int(after.step) == int(state.step) + 1
    assert (int(metrics["skipped"]), int(metrics["skipped_in_a_row"])) == (1, 1)
    for name in ("params", "batch_stats", "opt_state", "ema_params"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))
    good, metrics = step(after, random_batch(2))
    assert (int(metrics["skipped"]), int(metrics["skipped_in_a_row"])) == (1, 0)
    assert np.isfinite(float(metrics["loss"]))
    assert not np.array_equal(good.params["Dense_0"]["kernel"], after.params["Dense_0"]["kernel"])


def test_ema_follows_the_parameters():
    state, step = setup()
    after, _ = step(state, random_batch(0))
    weight = float(ema_weight(state.step, 0.9))
    assert weight == pytest.approx(0.9)  # 1 - (1 + 0) / (10 + 0)
    assert float(ema_weight(jnp.int32(1000), 0.9)) == pytest.approx(0.1)
    trees = (state.params, after.params, after.ema_params)
    old, new, ema = (np.asarray(tree["Dense_1"]["kernel"]) for tree in trees)
    np.testing.assert_allclose(ema, old + weight * (new - old), rtol=1e-6)


def test_eval_uses_averaged_parameters():
    state, _ = setup()
    batch = jax.tree.map(jnp.asarray, random_batch(0))
    other = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    outputs = [eval_step(s, batch, model=ToyListener()).motion for s in (state, other)]
    np.testing.assert_array_equal(*outputs)
    changed = eval_step(state.replace(ema_params=other.params), batch, model=ToyListener()).motion
    assert not np.array_equal(changed, outputs[0])


def cut_batch(seed):
    """Clips of unlike length: in any split some micro-batch has fewer frames to score than others."""
    batch = random_batch(seed)
    lengths = np.random.default_rng(seed).permutation([2, 3, 6, 6, 6, 6, 6, 6])
    return batch.replace(listener_seen=np.arange(6)[None] < lengths[:, None])


def eq6(output, batch):
    inputs = MotionInputs(output.motion, batch.listener_motion, batch.listener_seen, LANDMARK)
    return (motion.paper(inputs),)


@pytest.mark.parametrize(("parts", "devices"), [(4, 1), (2, 2)])
def test_accumulated_gradients_equal_those_of_one_big_batch(parts, devices):
    options = {"model": ToyListener(batch_statistics=False), "objective": eq6}
    whole, losses = run(5, make=cut_batch, **options)
    accumulated, losses_of_parts = run(5, make=cut_batch, micro_batches=parts, devices=devices, **options)
    np.testing.assert_allclose(losses_of_parts, losses, rtol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), accumulated, whole)


def test_micro_batches_have_their_own_statistics_and_dropout():
    whole, _ = run(1)
    parts, _ = run(1, micro_batches=4)
    mean, mean_of_parts = (state.batch_stats["norm"]["mean"] for state in (whole, parts))
    assert np.abs(mean - mean_of_parts).max() > 1e-4

    def loss_fn(params, batch_stats, batch, key):
        return (LossSums(jax.random.uniform(key) * params, jnp.float32(1)),), batch_stats

    grads, metrics, _ = gradient(loss_fn, jnp.float32(2), {}, random_batch(0), jax.random.key(0), 4)
    draws = [jax.random.uniform(jax.random.fold_in(jax.random.key(0), i)) for i in range(4)]
    assert len({float(draw) for draw in draws}) == 4
    np.testing.assert_allclose(grads, np.mean(draws), rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], 2 * np.mean(draws), rtol=1e-6)


def test_remat_gives_the_same_numbers():
    kept, losses = run(4, dropout=0.3)
    again, losses_of_remat = run(4, dropout=0.3, remat=True)
    np.testing.assert_allclose(losses_of_remat, losses, rtol=1e-6)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), again, kept)


def test_noise_reaches_what_it_should():
    batch = random_batch(0, frames=60)  # enough for the deviation of each coefficient
    seen_BT = np.arange(60) + np.zeros((8, 1)) < 50
    hidden = batch.features.replace(speaker_seen=seen_BT & (np.arange(8) > 0)[:, None])
    batch = jax.tree.map(jnp.asarray, batch.replace(features=hidden, listener_seen=seen_BT))
    std, key = jnp.linspace(0.1, 1, 70), jax.random.key(0)
    noisy = make_noise(AugmentConfig(coefficient_noise=0.5))(batch, std, key)
    speaker = noisy.features.speaker_motion - batch.features.speaker_motion
    target = noisy.listener_motion - batch.listener_motion
    assert not speaker[0].any() and not speaker[:, 50:].any()
    np.testing.assert_allclose(jnp.std(speaker[1:, :50], axis=(0, 1)) / std, 0.5, atol=0.08)
    assert target[:, 0].all() and not target[:, 1:].any()
    labels = make_noise(AugmentConfig(label_noise=0.2))(batch, std, key)
    assert not (labels.features.speaker_motion - batch.features.speaker_motion).any()
    target = labels.listener_motion - batch.listener_motion
    assert target[:, 1:50].all() and not target[:, 0].any() and not target[:, 50:].any()
    np.testing.assert_allclose(jnp.std(target[:, 1:50], axis=(0, 1)) / std, 0.2, atol=0.03)
    assert make_noise(AugmentConfig()) is no_noise


def test_noise_is_drawn_anew_in_every_step():
    def draw(step):
        state, advance = setup(add_noise=make_noise(AugmentConfig(label_noise=1.0)))
        return float(advance(state.replace(step=jnp.int32(step)), random_batch(0))[1]["loss"])

    assert draw(0) == draw(0) != draw(1)


def test_retraces_never():
    traces = []

    def counting(output, batch):
        traces.append(1)
        return toy_objective(output, batch)

    state, step = setup(objective=counting)
    for i in range(3):
        state, _ = step(state, random_batch(i))
    assert len(traces) == 1

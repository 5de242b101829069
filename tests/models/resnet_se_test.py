"""Batch norms on padded batches, against the definition written out in float64."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lhg_jax.models.resnet_se import SAMPLED, TORCH_EPSILON, TORCH_MOMENTUM, BatchNorm

LENGTHS = np.array([7, 4, 0])
MASK = np.arange(7)[None] < LENGTHS[:, None]
CENTRE = 300.0  # many standard deviations from zero, as loud MFCCs are


def definition(params, x):
    """Output, mean and biased variance over valid positions in two passes."""
    rows = x[MASK]  # [valid steps, frequency, channel]
    mean, var = rows.mean((0, 1)), rows.var((0, 1))
    rank4 = (np.newaxis,) * 3
    y = (x - mean[rank4]) / jnp.sqrt(var + TORCH_EPSILON)[rank4] * params["scale"][rank4]
    return jnp.where(MASK[..., None, None], y + params["bias"][rank4], 0.0), mean, var


def draw():
    rng = np.random.default_rng(0)
    x = CENTRE + rng.standard_normal((*MASK.shape, 5, 6), np.float32)
    params = {name: rng.standard_normal(6, np.float32) for name in ("scale", "bias")}
    near = (CENTRE + rng.standard_normal(6)).astype(np.float32)
    return x, params, {"mean": near, "var": np.full(6, 2.0, np.float32)}, rng.standard_normal(x.shape)


def run(params, stats, x):
    variables = {"params": params, "batch_stats": stats}
    return BatchNorm().apply(variables, jnp.asarray(x), jnp.asarray(MASK), True, mutable=["batch_stats"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_and_gradients_are_the_definitions(dtype):
    """In float32 wherever the running mean is; of bfloat16 numbers near it, and to their precision."""
    x, params, stats, weights = draw()
    if dtype == "float32":
        stats |= {"mean": np.zeros(6, np.float32)}
    else:
        x, stats["mean"] = x - CENTRE, stats["mean"] - CENTRE
    x = jnp.asarray(x, dtype)

    def normed(p, x):
        return run(p, stats, x)[0].astype(jnp.float32)

    got = jax.grad(lambda p, x: (normed(p, x) * weights.astype(np.float32)).sum(), (0, 1))(params, x)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, x))
        want = jax.grad(lambda p, x: (definition(p, x)[0] * weights).sum(), (0, 1))(*exact)
        y = np.asarray(definition(*exact)[0])
    near = 2e-4 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(normed(params, x), y, rtol=near, atol=near)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(ours, np.float32), theirs, rtol=5 * near, atol=5 * near)


def test_a_first_mean_of_time_steps_unlike_the_others_is_near_enough():
    """Sums are taken about it: where it is far off, a variance in float32 has lost its digits."""
    x = CENTRE + np.random.default_rng(1).standard_normal((2, 4 * SAMPLED, 3, 6), np.float32)
    x[:, ::SAMPLED] += 1e3
    params = {"scale": np.ones(6, np.float32), "bias": np.zeros(6, np.float32)}
    stats = {"mean": np.zeros(6, np.float32), "var": np.ones(6, np.float32)}
    y, _ = BatchNorm().apply(
        {"params": params, "batch_stats": stats},
        jnp.asarray(x),
        jnp.ones(x.shape[:2], bool),
        True,
        mutable=["batch_stats"],
    )
    exact = x.astype(np.float64)
    wanted = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + TORCH_EPSILON)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


def test_a_sharded_batch_sends_its_sums_at_once():
    """One all-reduce in each direction, in bfloat16."""
    x, params, stats, weights = draw()
    x = jnp.asarray(x, jnp.bfloat16)
    several = NamedSharding(Mesh(np.array(jax.devices()[:3]), "data"), PartitionSpec("data"))

    def loss(params, x):
        return (run(params, stats, x)[0].astype(jnp.float32) * weights.astype(np.float32)).sum()

    gradient = jax.jit(jax.value_and_grad(loss, (0, 1)), in_shardings=(None, several))
    program = gradient.lower(params, x).compile().as_text()
    assert len(re.findall(r" all-reduce\(", program)) == 2


def test_running_statistics_move_towards_the_batchs():
    x, params, stats, _ = draw()
    moved = run(params, stats, x)[1]["batch_stats"]
    _, mean, var = definition(params, x)
    count = 5 * LENGTHS.sum()
    expected = {"mean": mean, "var": var * count / (count - 1)}
    for name, value in expected.items():
        wanted = stats[name] + TORCH_MOMENTUM * (value - stats[name])
        np.testing.assert_allclose(moved[name], wanted, rtol=1e-5)

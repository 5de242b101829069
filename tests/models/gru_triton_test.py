"""The GPU kernels run as plain JAX here: they must agree with the scan that they replace."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lhg_jax.models import gru, gru_triton

D, T, B, H = 2, 6, 21, 64  # rows that do not fill the last program


def draw(seed: int, *shape: int, batch: int = B, scale: float = 1.0):
    sizes = tuple(batch if size == B else size for size in shape)
    return scale * np.random.default_rng(seed).standard_normal(sizes, np.float32)


def forward_arguments(batch: int = B):
    steps = (draw(5, D, T, B, batch=batch) > -0.8).astype(np.float32)
    gates, h0 = draw(1, D, T, B, 3 * H, batch=batch), draw(4, D, B, H, batch=batch)
    return gates, draw(2, D, H, 3 * H, scale=0.2), draw(3, D, 3 * H, scale=0.1), h0, steps


def test_the_backend_is_still_there():
    """JAX deprecated it in 0.11. Without it the kernels never run: then they go, or move to another one."""
    assert importlib.util.find_spec("jax.experimental.pallas.triton")


def test_forward_is_the_scans():
    gates, w_t, b, h0, steps = arguments = forward_arguments()
    scan = jax.jit(functools.partial(gru._forward, keep=True))
    last, outputs = scan(*map(jnp.asarray, (gates, np.swapaxes(w_t, 1, 2), b, h0, steps[..., None] > 0)))
    *found, found_last = gru_triton.forward_kernel(*arguments, True)
    for ours, theirs in zip([*found, found_last], [*outputs, last], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_backward_is_the_scans():
    dy, factors, z = draw(1, D, T, B, H), draw(2, D, T, B, 3 * H), draw(3, D, T, B, H)
    w, dlast = draw(4, D, 3 * H, H, scale=0.1), draw(5, D, B, H)
    scanned = jax.jit(gru._backward)(*map(jnp.asarray, (dy, factors, z, w, dlast)))
    found = gru_triton.backward_kernel(dy, factors, z, w, dlast, True)
    for ours, theirs in zip(found, scanned, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_sharded_rows_stay_where_they_are():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    arguments = forward_arguments(batch=2 * len(jax.devices()))
    specs = [(None, None, "data"), (), (), (None, "data"), (None, None, "data")]
    placed = [
        jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
        for x, spec in zip(arguments, specs, strict=True)
    ]
    run = jax.jit(lambda *args: gru_triton.forward_kernel(*args, True)).lower(*placed).compile()
    assert "all-gather" not in run.as_text()
    for ours, alone in zip(run(*placed), gru_triton.forward_kernel(*arguments, True), strict=True):
        np.testing.assert_allclose(ours, alone, atol=2e-5)


@pytest.mark.parametrize(
    ("hidden", "dtype", "expected"),
    [(256, jnp.bfloat16, True), (256, jnp.float32, False), (96, jnp.bfloat16, False)],
)
def test_what_the_kernels_take(hidden, dtype, expected):
    assert gru_triton.fits(hidden, dtype) is expected


def test_training_in_bfloat16_lowers_to_the_kernels_for_cuda_only():
    gates, w_t, b, h0, steps = forward_arguments()
    arrays = jnp.asarray(gates, jnp.bfloat16), jnp.swapaxes(w_t, 1, 2), jnp.asarray(b)

    def loss(gates, w, b):
        y, _ = gru.scan(gates, w, b, jnp.asarray(h0), jnp.asarray(steps[..., None] > 0))
        return jnp.square(y.astype(jnp.float32)).sum()

    traced = jax.jit(jax.grad(loss, (0, 1, 2))).trace(*arrays)
    assert "triton" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    try:
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    except RuntimeError as error:
        pytest.skip(f"this JAX lowers for a GPU only where there is one: {error}")
    assert text.count("xla.gpu.triton") == 2  # forward and backward

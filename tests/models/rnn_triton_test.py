"""The GPU kernels run as plain JAX here: they must agree with the scan that they replace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lhg_jax.models import rnn_kernels, rnn_triton

CELL = rnn_kernels.gru_scan.args[0]
D, T, B, H = 2, 6, 21, 64  # rows that do not fill the last program


def draw(seed: int, *shape: int, batch: int = B, scale: float = 1.0):
    sizes = tuple(batch if size == B else size for size in shape)
    return scale * np.random.default_rng(seed).standard_normal(sizes, np.float32)


def forward_arguments(batch: int = B):
    steps = (draw(5, D, T, B, batch=batch) > -0.8).astype(np.float32)
    gates, h0 = draw(1, D, T, B, 3 * H, batch=batch), draw(4, D, B, H, batch=batch)
    return gates, draw(2, D, H, 3 * H, scale=0.2), draw(3, D, 3 * H, scale=0.1), h0, steps


def test_forward_is_the_scans():
    gates, w_t, b, h0, steps = arguments = forward_arguments()
    w, mask = np.swapaxes(w_t, 1, 2), steps[..., None] > 0
    states0 = tuple((h,) for h in jnp.asarray(h0))
    scan = jax.jit(lambda *args: rnn_kernels._forward(CELL, *args, keep=True))
    last, outputs = scan(*(tuple(map(jnp.asarray, x)) for x in (gates, w, b)), states0, tuple(mask))
    *found, found_last = rnn_triton.forward_kernel(*arguments, True)
    for d in range(D):
        (h,), saved = outputs[d]
        for ours, theirs in zip(found, (h, *saved), strict=True):
            np.testing.assert_allclose(ours[d], theirs, atol=2e-5)
        np.testing.assert_allclose(found_last[d], last[d][0], atol=2e-5)


def test_backward_is_the_scans():
    dy, d_gates, z = draw(1, D, T, B, H), draw(2, D, T, B, 3 * H), draw(3, D, T, B, H)
    w, dlast = draw(4, D, 3 * H, H, scale=0.1), draw(5, D, B, H)
    slopes = tuple(tuple(map(jnp.asarray, (d_gates[d], z[d], z[d]))) for d in range(D))
    scan = jax.jit(lambda *args: rnn_kernels._backward(CELL, *args))
    dh0, dh = scan(tuple(w), tuple((x,) for x in dlast), tuple(map(jnp.asarray, dy)), slopes)
    found, found0 = rnn_triton.backward_kernel(dy, d_gates, z, w, dlast, True)
    for d in range(D):
        np.testing.assert_allclose(found[d], dh[d], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found0[d], dh0[d][0], rtol=1e-4, atol=1e-4)


def test_sharded_rows_stay_where_they_are():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    arguments = forward_arguments(batch=2 * len(jax.devices()))
    specs = [(None, None, "data"), (), (), (None, "data"), (None, None, "data")]
    placed = [
        jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
        for x, spec in zip(arguments, specs, strict=True)
    ]
    run = jax.jit(lambda *args: rnn_triton.forward_kernel(*args, True)).lower(*placed).compile()
    assert "all-gather" not in run.as_text()
    for ours, alone in zip(run(*placed), rnn_triton.forward_kernel(*arguments, True), strict=True):
        np.testing.assert_allclose(ours, alone, atol=2e-5)


@pytest.mark.parametrize(
    ("hidden", "dtype", "expected"),
    [(256, jnp.bfloat16, True), (256, jnp.float32, False), (96, jnp.bfloat16, False)],
)
def test_what_the_kernels_take(hidden, dtype, expected):
    assert rnn_triton.fits(hidden, dtype) is expected


def test_training_in_bfloat16_lowers_to_the_kernels_for_cuda_only():
    gates, w_t, b, h0, steps = forward_arguments()
    arrays = tuple(jnp.asarray(gates, jnp.bfloat16)), tuple(jnp.swapaxes(w_t, 1, 2)), tuple(jnp.asarray(b))

    def loss(gates, w, b):
        mask, states0 = tuple(jnp.asarray(steps[..., None] > 0)), tuple((h,) for h in jnp.asarray(h0))
        y, _ = rnn_kernels.gru_scan(gates, w, b, states0, mask)
        return sum(jnp.square(y_d.astype(jnp.float32)).sum() for y_d in y)

    traced = jax.jit(jax.grad(loss, (0, 1, 2))).trace(*arrays)
    assert "triton" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    try:
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    except RuntimeError as error:
        pytest.skip(f"this JAX lowers for a GPU only where there is one: {error}")
    assert text.count("xla.gpu.triton") == 2  # forward and backward

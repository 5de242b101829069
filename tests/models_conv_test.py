"""The convolution's own kernel gradient against XLA's."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lhg_jax.models import conv

CASES = {  # taps, strides, padding, (T, F) of the input
    "3x3": ((3, 3), (1, 1), ((1, 1), (1, 1)), (11, 6)),
    "strided": ((3, 3), (2, 2), ((1, 1), (1, 1)), (11, 6)),
    "strided, even": ((3, 3), (2, 2), ((1, 1), (1, 1)), (12, 7)),
    "causal": ((3, 3), (1, 1), ((2, 0), (1, 1)), (7, 5)),
    "causal, strided": ((3, 3), (2, 2), ((2, 0), (1, 1)), (8, 5)),
    "valid": ((2, 2), (1, 1), ((0, 0), (0, 0)), (9, 4)),
    "along time": ((5, 1), (1, 1), ((2, 2), (0, 0)), (13, 1)),
    "one step": ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
}


def arrays(case, dtype=jnp.float32, channels=3, features=4):
    taps, strides, padding, size = CASES[case]
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, *size, channels), dtype)
    kernel = jax.random.normal(keys[1], (*taps, channels, features), dtype)
    y = jax.eval_shape(lambda x, k: conv.conv(x, k, strides, padding), x, kernel)
    return x, kernel, jax.random.normal(keys[2], y.shape, dtype), (strides, padding)


def xla(x, kernel, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=conv.LAYOUT)


def gradients(function, x, kernel, dy, window):
    return jax.jit(lambda x, k: jax.vjp(lambda x, k: function(x, k, *window), x, k)[1](dy))(x, kernel)


# Chunks of some rows that do not divide the time; and of one row, and of all.
@pytest.mark.parametrize(
    ("case", "patch_bytes"), [*((case, 3000) for case in CASES), ("3x3", 1), ("strided", 1), ("3x3", 2**21)]
)
def test_equals_xla_in_value_and_gradient(case, patch_bytes, monkeypatch):
    monkeypatch.setattr(conv, "PATCH_BYTES", patch_bytes)
    x, kernel, dy, window = arrays(case)
    np.testing.assert_array_equal(conv.conv(x, kernel, *window), xla(x, kernel, *window))
    actual, expected = (gradients(f, x, kernel, dy, window) for f in (conv.conv, xla))
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["strided", "along time"])
def test_bfloat16_sums_in_float32(case):
    """Closer to the float32 gradient of the same rounded inputs than one rounding of bfloat16."""
    x, kernel, dy, window = arrays(case, jnp.bfloat16)
    actual = gradients(conv.conv, x, kernel, dy, window)[1]
    assert actual.dtype == jnp.bfloat16
    exact = gradients(xla, *(a.astype(jnp.float32) for a in (x, kernel, dy)), window)[1]
    np.testing.assert_array_equal(actual, exact.astype(jnp.bfloat16))


def test_vmap_and_second_derivative():
    x, kernel, _, window = arrays("strided")

    def penalty(function, x):
        grad = jax.grad(lambda k: jnp.sum(jnp.sin(function(x[None], k, *window))))(kernel)
        return jnp.sum(jnp.square(grad))

    actual, expected = (
        jax.jit(jax.vmap(jax.grad(functools.partial(penalty, f))))(x) for f in (conv.conv, xla)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_module_is_linen_conv():
    """Same names, shapes and initial values of the parameters, same output."""
    x = arrays("strided")[0]
    ours = conv.Conv(5, (3, 3), ((2, 0), (1, 1)), (2, 2))
    theirs = nn.Conv(5, (3, 3), (2, 2), ((2, 0), (1, 1)))
    variables, expected = (module.init(jax.random.key(7), x) for module in (ours, theirs))
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    variables["params"]["bias"] += 1
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-6)


def test_accelerators_keep_their_own_gradient():
    """The graph for a GPU has XLA's convolution and no loop over chunks; the one for a CPU has the loop."""
    x, kernel, dy, window = arrays("3x3")
    step = jax.jit(jax.grad(lambda k: jnp.sum(conv.conv(x, k, *window) * dy)))
    for platform, looped in [("cpu", True), ("cuda", False)]:
        text = step.trace(kernel).lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.while" in text) == looped

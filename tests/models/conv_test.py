"""The convolution whose operands are computed once: same numbers, less work."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from lhg_jax.models.conv import convolve
from lhg_jax.training.compiler import compiler_options

CONV = nn.Conv(16, (3, 3))


def random_case(layer: nn.Conv = CONV):
    x, weight = jax.random.normal(jax.random.key(0), (2, 8, 11, 6, 16))
    params = layer.init(jax.random.key(1), x)
    return params, x, weight


def ours(layer: nn.Conv):
    """A flax function of x by `convolve`."""
    return nn.apply(convolve, layer)


def linen(layer: nn.Conv):
    return nn.apply(nn.Conv.__call__, layer)


def gradient_of(apply):
    """Gradient to parameters and input of apply(params, |x|), with the training step's options."""

    def loss(params, x, weight):
        y = apply(params, jnp.abs(x)).astype(jnp.float32)
        return (jnp.square(y) * weight).sum()

    return jax.jit(jax.grad(loss, (0, 1)), compiler_options=compiler_options("cpu"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_and_gradients_are_those_of_linen(dtype):
    layer = nn.Conv(16, (3, 3), dtype=dtype)
    params, *arrays = random_case(layer)
    np.testing.assert_array_equal(ours(layer)(params, arrays[0]), linen(layer)(params, arrays[0]))
    found, wanted = (gradient_of(apply(layer))(params, *arrays) for apply in (ours, linen))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def test_the_input_is_computed_once():
    def times(apply) -> int:
        function = gradient_of(apply)
        return function.lower(*random_case()).compile().as_text().count(" abs(")

    assert times(ours(CONV)) == 1
    assert times(linen(CONV)) > 1, "XLA no longer does it twice: convolve may go"


def test_a_batch_over_eight_devices_stays_where_it_is():
    params, x, weight = random_case()
    mesh = jax.make_mesh((8,), ("data",))
    batch, everywhere = (NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec()))
    arguments = jax.device_put((params, x, weight), (everywhere, batch, batch))
    function = gradient_of(ours(CONV))
    compiled = function.lower(*arguments).compile()
    assert "all-gather" not in compiled.as_text()
    eight, one = compiled(*arguments), function(params, x, weight)
    for a, b in zip(jax.tree.leaves(eight), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())

"""The compiler's options, on a convolution and its gradients."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from lhg_jax.training import compiler


@pytest.fixture(autouse=True)
def fresh_cache():
    compiler.compiler_options.cache_clear()
    yield
    compiler.compiler_options.cache_clear()


def gradients(options):
    layer = nn.Conv(16, (3, 3), (2, 2))
    x = jax.random.normal(jax.random.key(0), (2, 11, 6, 16))
    params = layer.init(jax.random.key(1), x)

    def loss(params, x):
        return (layer.apply(params, x) ** 3).sum()

    return jax.jit(jax.grad(loss, (0, 1)), compiler_options=options)(params, x)


def test_this_jax_takes_the_options_and_they_change_only_rounding():
    options = compiler.compiler_options("cpu")
    assert options == compiler.CPU_OPTIONS
    ours, defaults = jax.tree.leaves(gradients(options)), jax.tree.leaves(gradients(None))
    for a, b in zip(ours, defaults, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_a_jax_that_does_not_know_them_goes_without(monkeypatch):
    monkeypatch.setattr(compiler, "CPU_OPTIONS", {"xla_cpu_no_such_option": "1"})
    assert compiler.compiler_options("cpu") is None


def test_accelerators_keep_their_defaults():
    assert compiler.compiler_options("gpu") is None

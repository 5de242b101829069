"""Folded feature maps: the same weights give the same values, gradients and statistics."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.models.audio_encoder import AudioEncoder
from lhg_jax.models.folding import FoldedConv, folds, refold

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("stride, taps, fold", [(1, 3, 4), (2, 3, 2), (2, 3, 1), (1, 5, 2), (1, 1, 4)])
def test_a_folded_convolution_is_the_convolution(stride, taps, fold):
    x = jnp.asarray(RNG.normal(size=(2, 5, 16, 3)), jnp.float32)
    own = {"kernel_size": (3, taps), "strides": (stride, stride), "name": "conv"}
    plain = nn.Conv(6, padding=((1, 1), (taps // 2, taps // 2)), **own)
    folded = FoldedConv(6, padding=(1, 1), fold=fold, **own)
    variables = plain.init(jax.random.key(0), x)
    again = folded.init(jax.random.key(0), refold(x, 1, stride * fold))
    jax.tree.map(np.testing.assert_array_equal, variables, again)
    expected = plain.apply(variables, x)
    found = folded.apply(variables, refold(x, 1, stride * fold))
    assert found.shape[2:] == (16 // stride // fold, 6 * fold)
    np.testing.assert_allclose(refold(found, fold, 1), expected, rtol=1e-5, atol=1e-5)


def test_maps_are_folded_while_they_divide():
    assert [folds(128, 128, 32), folds(128, 64, 64), folds(128, 32, 128), folds(0, 128, 32)] == [4, 2, 1, 1]
    assert folds(128, 6, 16) == 2


@functools.cache
def trained(lanes, memory_s, mel):
    """Levels, updated statistics, and gradients of a random combination of the levels."""
    rng = np.random.default_rng(1)
    encoder = AudioEncoder((4, 8, 16, 16), (2, 1, 1, 1), 5, memory_s, jnp.float32, lanes)
    x = jnp.asarray(rng.normal(size=(2, 22, mel)), jnp.float32)
    mask = jnp.arange(22)[None] < jnp.array([22, 15])[:, None]
    plain = AudioEncoder((4, 8, 16, 16), (2, 1, 1, 1), 5, memory_s)
    variables = plain.init(jax.random.key(2), x, mask, False)
    weights = [jnp.asarray(rng.normal(size=(2, 10, 5)), jnp.float32) for _ in range(3)]

    @jax.jit
    def run(params):
        def loss(params):
            own = variables | {"params": params}
            levels, updates = encoder.apply(own, x, mask, True, mutable=["batch_stats"])
            total = sum((w * level[:, :10]).sum() for w, level in zip(weights, levels, strict=True))
            return total, (levels, updates)

        return jax.grad(loss, has_aux=True)(params)

    return run(variables["params"])


@pytest.mark.parametrize(
    "lanes, memory_s, mel",
    [
        (16, None, 16),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((32, 1.0, 16), (32, None, 20))),
    ],
)
def test_a_folded_encoder_is_the_encoder(lanes, memory_s, mel):
    """Masks, batch statistics, gates and strides; 20 bands stop dividing on the way."""
    close = functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)
    jax.tree.map(close, trained(lanes, memory_s, mel), trained(0, memory_s, mel))

"""A recurrent stack leaves JAX with batch size and length left open, and gives the same numbers outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.models.rnn import GRUStack, LSTMStack

FEATURES = 5
SIZES = [(1, 1), (2, 9), (3, 4)]  # (batch, time), none of which the conversion knows


def make_run(stack_class, bidirectional=True):
    """Two layers with their weights: (x, lengths) -> (y, last states)."""
    stack = stack_class(4, 2, bidirectional)
    variables = stack.init(jax.random.key(0), jnp.zeros((1, 1, FEATURES)), jnp.ones(1, jnp.int32))
    return jax.jit(lambda x_BTC, lengths_B: stack.apply(variables, x_BTC, lengths_B))


def inputs(batch, time):
    rng = np.random.default_rng([batch, time])
    x = rng.standard_normal((batch, time, FEATURES), np.float32)
    return x, rng.integers(0, time + 1, batch).astype(np.int32)


def assert_same(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), b, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("stack_class", [GRUStack, LSTMStack])
def test_export_with_open_shapes(stack_class, bidirectional):
    run = make_run(stack_class, bidirectional)
    batch, time = jax.export.symbolic_shape("b, t")
    exported = jax.export.export(run, platforms=("cpu", "cuda", "tpu"))(
        jax.ShapeDtypeStruct((batch, time, FEATURES), jnp.float32), jax.ShapeDtypeStruct((batch,), jnp.int32)
    )
    again = jax.export.deserialize(exported.serialize())
    for size in SIZES:
        assert_same(jax.jit(again.call)(*inputs(*size)), run(*inputs(*size)))


@pytest.mark.slow
@pytest.mark.parametrize("stack_class", [GRUStack, LSTMStack])
def test_savedmodel_with_open_shapes(stack_class, tmp_path):
    """Through jax2tf into a SavedModel on disk, and back in TensorFlow."""
    tf = pytest.importorskip("tensorflow", reason="needs the extra [tf]")
    from jax.experimental import jax2tf

    run = make_run(stack_class)
    converted = jax2tf.convert(run, polymorphic_shapes=[f"(b, t, {FEATURES})", "(b,)"])
    signature = [
        tf.TensorSpec((None, None, FEATURES), tf.float32),
        tf.TensorSpec((None,), tf.int32),
    ]
    module = tf.Module()
    module.run = tf.function(converted, autograph=False, input_signature=signature)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for size in SIZES:
        assert_same(jax.tree.map(lambda x: x.numpy(), loaded.run(*inputs(*size))), run(*inputs(*size)))

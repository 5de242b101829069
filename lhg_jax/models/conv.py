"""Convolution whose operands XLA:CPU computes once."""

import flax.linen as nn
import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float

from lhg_jax.models.folding import FoldedConv

Convolution = nn.Conv | nn.Dense | FoldedConv


def convolve(
    layer: Convolution, x: Float[Array, "batch *space channel"]
) -> Float[Array, "batch *space2 features"]:
    """`layer(x)`; when training, XLA:CPU does not compute x, or the output's gradient, a second time.

    A kernel gradient reads both in another order. XLA:CPU writes them in that order by one fused loop, into
    which it copies whatever they are computed from, back through all residual blocks of a stage; that was a
    tenth of a training step (docs/benchmarks.md). Values and gradients stay what they are.
    """
    return _computed_once(layer(_computed_once(x)))


@jax.custom_vjp
def _computed_once(x: Array) -> Array:
    """x; under differentiation on a CPU, x and its gradient are stored before anything reads them."""
    return x


def _store(x: Array) -> Array:
    return lax.platform_dependent(x, cpu=_call, default=lambda x: x)


def _call(x: Array) -> Array:
    """x, through a call of a function that does nothing: no fusion crosses it, and it costs nothing."""
    with set_xla_metadata(inlineable="false"):
        # XLA:CPU drops barriers before it fuses, but JAX would drop a function without one.
        return jax.jit(lax.optimization_barrier)(x)


_computed_once.defvjp(lambda x: (_store(x), None), lambda _, dx: (_store(dx),))

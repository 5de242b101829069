"""Settings of the XLA compiler that a training step wants."""

import functools

import jax

# XLA's defaults on CPUs give convolutions to a library that takes 7 to 10 times as long for their kernel
# gradients and uses one core for few channels; matrix products and sums it does well (docs/benchmarks.md).
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}

# Platforms whose vector registers narrow feature maps leave empty, and the channels that fill them.
LANES = {"tpu": 128}


@functools.cache
def compiler_options(platform: str) -> dict[str, str] | None:
    """`jax.jit`'s `compiler_options` for convolution networks; None where XLA's defaults are best.

    Values never depend on them but for rounding. Experimental, so a JAX without them goes without.
    """
    if platform != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=CPU_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return None
    return CPU_OPTIONS

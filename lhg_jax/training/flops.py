"""Model FLOPs of a step, counted in its jaxpr, and what devices can do at most.

XLA's own cost analysis counts the body of a loop once, however often it runs, which leaves out most of a
recurrent decoder. Here loops count fully; of the operations only matrix products and convolutions count.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax

# Dense bfloat16 peak of one device as JAX counts them, FLOP/s, from the vendors' data sheets.
PEAKS = {
    "TPU v2": 22.5e12,  # a core
    "TPU v3": 61.5e12,  # a core
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA L4": 121e12,
    "Tesla V100": 125e12,  # float16: it has no bfloat16
}


def peak_flops(kind: str) -> float | None:
    """FLOP/s of a device by its `device_kind`, the longest name that it begins with; None if unknown."""
    known = [name for name in PEAKS if kind.startswith(name)]
    return PEAKS[max(known, key=len)] if known else None


def count_flops(function: Callable, *args: Any) -> int:
    """FLOPs (2 per multiply-add) of one call; `args` may be arrays or their shapes."""
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: Any) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        outputs = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
        # The zeros that a transposed convolution puts between its inputs are no work.
        products = equation.outvars[0].aval.size * (kernel.size // outputs)
        return 2 * products // math.prod(params["lhs_dilation"])
    inner = [_count(jaxpr) for jaxpr in _inner(params)]
    if name == "scan":
        return params["length"] * sum(inner)
    return max(inner, default=0) if name == "cond" else sum(inner)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Jaxprs among the parameters of an equation."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item

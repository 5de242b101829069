"""Model FLOPs of a step, counted in its jaxpr, and what devices can do at most.

XLA's own cost analysis counts the body of a loop once, however often it runs, which leaves out most of a
recurrent decoder. Here loops count fully; of the operations only matrix products and convolutions count.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

# Dense bfloat16 peak of one device as JAX counts them, FLOP/s, by its whole `device_kind`: from the vendors'
# data sheets, half of the figure where a sheet gives one "with sparsity" only.
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
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H200": 989e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40": 181e12,
    "NVIDIA L40S": 362e12,
    "Tesla V100-SXM2-16GB": 125e12,  # float16: it has no bfloat16
    "Tesla V100-SXM2-32GB": 125e12,
}
RECOMPUTED = "recomputed"  # name of the jitted functions that compute again what they could have kept


def peak_flops(kind: str) -> float | None:
    """FLOP/s of a device by its `device_kind`; None for one that is not in the table."""
    return PEAKS.get(kind)


def count_flops(function: Callable, *args: Any) -> int:
    """FLOPs (2 per multiply-add) of one call; `args` may be arrays or their shapes.

    What a backward pass computes again to save memory does not count where it is a jitted function of the
    name `RECOMPUTED` (losses/blockwise.py): model FLOPs are those of a device with memory enough. A loop that
    may end early (losses/counted.py) counts as if it did not.
    """
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
        return _count_convolution(equation)
    if params.get("name") == RECOMPUTED:
        return 0
    inner = [_count(jaxpr) for jaxpr in _inner(params)]
    if name == "while":
        return _most_turns(params["cond_jaxpr"].jaxpr) * sum(inner)
    if name == "scan":
        return params["length"] * sum(inner)
    return max(inner, default=0) if name == "cond" else sum(inner)


def _most_turns(condition: Any) -> int:
    """The least number that the condition of a loop compares with; 1 for one that a flag starts."""
    limits = [equation.invars[1] for equation in condition.eqns if equation.primitive.name == "lt"]
    return min((int(limit.val) for limit in limits if hasattr(limit, "val")), default=1)


def _count_convolution(equation: Any) -> int:
    """Products with real inputs only: neither padding nor the zeros between a transposed one's inputs."""
    params, axes = equation.params, equation.params["dimension_numbers"]
    inputs, kernel, outputs = (variable.aval.shape for variable in (*equation.invars[:2], *equation.outvars))
    count = outputs[axes.out_spec[0]] * kernel[axes.rhs_spec[0]] * kernel[axes.rhs_spec[1]]
    for i, (stride, (before, _)) in enumerate(zip(params["window_strides"], params["padding"], strict=True)):
        spread, dilation = params["lhs_dilation"][i], params["rhs_dilation"][i]
        taps = dilation * np.arange(kernel[axes.rhs_spec[2 + i]])
        place = np.add.outer(stride * np.arange(outputs[axes.out_spec[2 + i]]) - before, taps)
        last = spread * (inputs[axes.lhs_spec[2 + i]] - 1)
        count *= int(((place >= 0) & (place <= last) & (place % spread == 0)).sum())
    return 2 * count


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Jaxprs among the parameters of an equation."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item

"""The recurrence of a GRU in one kernel a layer and pass, for NVIDIA GPUs in bfloat16 (Pallas on Triton).

A scan starts some kernels for every time step, which is most of its time at the batch sizes of training. Here
one program walks through all time steps for a few rows of a direction, its state in registers. For products
with the weights, where each thread needs all of it, the state goes by way of memory; the weights come through
shared memory, some rows at a time, the next ones on their way. It computes what the scans of `gru` compute.

XLA cannot split a kernel by itself: `custom_partitioning` says that rows are independent, so a batch sharded
over devices stays sharded.

JAX deprecated this backend of Pallas in 0.11; where a JAX has none, `fits` says no and the scan runs. The
kernels stay while there is one to measure them on; a test fails the day they never run.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jaxtyping import Array, Float

GATES = 3
ROWS = 16  # of a program: the fewest that the matrix units take
DEPTH = 32  # rows of weights at a time
SMALLEST, LARGEST = 64, 256  # units
WARPS = 8
# Blocks of weights in flight, 49 and 17 kB each (calculated): smaller GPUs have 99 kB of shared memory.
FORWARD_STAGES, BACKWARD_STAGES = 2, 3


def fits(hidden: int, dtype: Any) -> bool:
    """Whether there are kernels for states of this size in this compute type (on CUDA devices)."""
    try:
        from jax.experimental.pallas import triton  # noqa: F401  (deprecated in JAX 0.11)
    except ImportError:
        return False
    power_of_two = hidden & (hidden - 1) == 0
    return dtype == jnp.bfloat16 and SMALLEST <= hidden <= LARGEST and power_of_two


def forward(gates: Array, w: Array, b: Array, h0: Array, mask: Array) -> tuple[Array, tuple[Array, ...]]:
    """The forward scan of `gru`: last states, and (h, r, z, n, u) of all steps."""
    w_t = jnp.swapaxes(w, 1, 2).astype(gates.dtype)
    *history, last = forward_kernel(gates, w_t, b, h0, mask[..., 0].astype(jnp.float32))
    return last, tuple(history)


def backward(dy: Array, factors: Array, z: Array, w: Array, dlast: Array) -> tuple[Array, Array]:
    """The reverse scan of `gru`: gradients of the states after each step, and before the first one."""
    return backward_kernel(dy, factors, z, w.astype(dy.dtype), dlast)


def _split_over_rows(rule: str, arrays: int):
    """For a function of `arrays` arrays and `interpret`: XLA may split it along b of its rule only."""

    def decorate(function):
        split = custom_partitioning(function, static_argnums=(arrays,))

        def partition(interpret, mesh, arguments, results):
            shardings = tuple(argument.sharding for argument in arguments)
            lowered = functools.partial(function, interpret=interpret)
            return mesh, lowered, tuple(result.sharding for result in results), shardings

        whole = tuple(sorted("dthk", key=rule.index))  # XLA wants them in the order of the rule
        split.def_partition(partition, sharding_rule=rule, need_replication_factors=whole)
        return functools.wraps(function)(split)

    return decorate


@_split_over_rows(
    "d t b k, d h k, d k, d b h, d t b -> d t b h, d t b h, d t b h, d t b h, d t b h, d b h", arrays=5
)
def forward_kernel(
    gates: Float[Array, "direction time batch gates"],
    w_t: Float[Array, "direction hidden gates"],
    b: Float[Array, "direction gates"],
    h0: Float[Array, "direction batch hidden"],
    steps: Float[Array, "direction time batch"],
    interpret: bool = False,
) -> tuple[Array, ...]:
    """h, r, z, n and u of every step in the type of `gates`, and the last h.

    Args:
      gates: Input projections with their bias.
      w_t: Hidden weights in the type of `gates`.
      b: Hidden bias, float32.
      h0: States before the first step, float32.
      steps: 0 where a state is handed on unchanged, else 1.
      interpret: Run it as plain JAX, on any device.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    directions, time, batch, K = gates.shape
    H, padded = h0.shape[-1], batch + -batch % ROWS
    # One program a direction and group of rows.
    rows_of_gates = pl.BlockSpec((None, time, ROWS, K), lambda d, i: (d, 0, i, 0))
    all_weights = pl.BlockSpec((None, H, K), lambda d, i: (d, 0, 0))
    all_biases = pl.BlockSpec((None, K), lambda d, i: (d, 0))
    rows_of_steps = pl.BlockSpec((None, time, ROWS), lambda d, i: (d, 0, i))
    rows_of_states = pl.BlockSpec((None, time, ROWS, H), lambda d, i: (d, 0, i, 0))
    rows_of_state = pl.BlockSpec((None, ROWS, H), lambda d, i: (d, i, 0))
    history = jax.ShapeDtypeStruct((directions, time, padded, H), gates.dtype)
    scratch = jax.ShapeDtypeStruct((directions, padded, H), gates.dtype)
    last = jax.ShapeDtypeStruct((directions, padded, H), h0.dtype)
    *found, _, found_last = pl.pallas_call(
        functools.partial(_forward_program, barrier=_barrier(interpret)),
        grid=(directions, padded // ROWS),
        in_specs=[rows_of_gates, all_weights, all_biases, rows_of_state, rows_of_steps],
        out_specs=[*[rows_of_states] * 5, rows_of_state, rows_of_state],
        out_shape=[*[history] * 5, scratch, last],
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=FORWARD_STAGES),
        interpret=interpret,
    )(_pad(gates, 2), w_t, b, _pad(h0, 1), _pad(steps, 2))
    return *(x[:, :, :batch] for x in found), found_last[:, :batch]


@_split_over_rows("d t b h, d t b k, d t b h, d k h, d b h -> d t b h, d b h", arrays=5)
def backward_kernel(
    dy: Float[Array, "direction time batch hidden"],
    factors: Float[Array, "direction time batch gates"],
    z: Float[Array, "direction time batch hidden"],
    w: Float[Array, "direction gates hidden"],
    dlast: Float[Array, "direction batch hidden"],
    interpret: bool = False,
) -> tuple[Array, Array]:
    """The gradient of h after every step in the type of `dy`, and that of h0.

    Args:
      dy: Gradient of the outputs.
      factors, z: See `gru.scan_bwd`.
      w: Hidden weights in the type of `dy`.
      dlast: Gradient of the last state, float32.
      interpret: Run it as plain JAX, on any device.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    directions, time, batch, H = dy.shape
    K, padded = factors.shape[-1], batch + -batch % ROWS
    rows_of_states = pl.BlockSpec((None, time, ROWS, H), lambda d, i: (d, 0, i, 0))
    rows_of_factors = pl.BlockSpec((None, time, ROWS, K), lambda d, i: (d, 0, i, 0))
    all_weights = pl.BlockSpec((None, K, H), lambda d, i: (d, 0, 0))
    rows_of_state = pl.BlockSpec((None, ROWS, H), lambda d, i: (d, i, 0))
    rows_of_scratch = pl.BlockSpec((None, ROWS, K), lambda d, i: (d, i, 0))
    g, _, dh0 = pl.pallas_call(
        functools.partial(_backward_program, barrier=_barrier(interpret)),
        grid=(directions, padded // ROWS),
        in_specs=[rows_of_states, rows_of_factors, rows_of_states, all_weights, rows_of_state],
        out_specs=[rows_of_states, rows_of_scratch, rows_of_state],
        out_shape=[
            jax.ShapeDtypeStruct((directions, time, padded, H), dy.dtype),
            jax.ShapeDtypeStruct((directions, padded, K), dy.dtype),
            jax.ShapeDtypeStruct((directions, padded, H), dlast.dtype),
        ],
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=BACKWARD_STAGES),
        interpret=interpret,
    )(_pad(dy, 2), _pad(factors, 2), _pad(z, 2), w, _pad(dlast, 1))
    return g[:, :, :batch], dh0[:, :batch]


def _pad(x: Array, axis: int) -> Array:
    """Rows of zeros, so that the last program has all of its own."""
    return jnp.pad(x, [(0, -x.shape[axis] % ROWS if i == axis else 0) for i in range(x.ndim)])


def _barrier(interpret: bool) -> Callable[[], None]:
    """What one thread wrote another reads; plain JAX has no threads."""
    from jax.experimental.pallas import triton

    return (lambda: None) if interpret else triton.debug_barrier


def _gate(number: int, hidden: int) -> Any:
    """Where a gate stands among 3H; blocks have sizes of powers of two, so each is read by itself."""
    from jax.experimental import pallas as pl

    return pl.ds(number * hidden, hidden)


def _forward_program(gates, w_t, b, h0, steps, *outputs, barrier) -> None:
    """All time steps of some rows; the equations are those of `gru.step`."""
    *history, scratch, last = outputs
    of = [_gate(number, h0.shape[-1]) for number in range(GATES)]

    def step(t, h):
        x_r, x_z, x_n = (gates[t, :, gate].astype(h.dtype) for gate in of)
        scratch[...] = h.astype(scratch.dtype)
        barrier()
        u_r, u_z, u_n = _multiply(scratch, w_t, of, barrier)
        b_r, b_z, b_n = (b[gate].astype(h.dtype)[None] for gate in of)
        u_n = u_n + b_n
        r, z = _sigmoid(x_r + u_r + b_r), _sigmoid(x_z + u_z + b_z)
        n = jnp.tanh(x_n + r * u_n)
        h = jnp.where(steps[t][:, None] > 0, (1 - z) * n + z * h, h)
        for ref, value in zip(history, (h, r, z, n, u_n), strict=True):
            ref[t] = value.astype(ref.dtype)
        return h

    last[...] = lax.fori_loop(0, gates.shape[0], step, h0[...])


def _backward_program(dy, factors, z, w, dlast, dh_of, scratch, dh0, *, barrier) -> None:
    """All time steps of some rows, the last first; the equations are those of `gru._backward`."""
    time = dy.shape[0]
    of = [_gate(number, dlast.shape[-1]) for number in range(GATES)]

    def step(done, dh):
        t = time - 1 - done
        dh = dh + dy[t].astype(dh.dtype)
        dh_of[t] = dh.astype(dh_of.dtype)
        for gate in of:
            scratch[:, gate] = (factors[t, :, gate].astype(dh.dtype) * dh).astype(scratch.dtype)
        kept = dh * z[t].astype(dh.dtype)
        barrier()
        (product,) = _multiply(scratch, w, [slice(None)], barrier)
        return kept + product

    dh0[...] = lax.fori_loop(0, time, step, dlast[...])


def _multiply(x: Any, w: Any, columns: list, barrier: Callable[[], None]) -> tuple[Array, ...]:
    """x @ w[:, c] for each of `columns`, float32; some rows of w at a time, for all would not fit."""
    from jax.experimental import pallas as pl

    def add(block, sums):
        rows = pl.ds(block * DEPTH, DEPTH)
        part = x[:, rows]
        products = (jnp.dot(part, w[rows, c], preferred_element_type=jnp.float32) for c in columns)
        return tuple(map(jnp.add, sums, products))

    zeros = jnp.zeros((ROWS, w.shape[1] // len(columns)), jnp.float32)
    sums = lax.fori_loop(0, w.shape[0] // DEPTH, add, (zeros,) * len(columns))
    barrier()  # before x is written again
    return sums


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + jnp.exp(-x))

"""The recurrence of a GRU in one kernel a layer and pass, for NVIDIA GPUs in bfloat16 (Pallas on Triton).

A scan starts some kernels for every time step, which is most of its time at the batch sizes of training. Here
one program walks through all time steps for a few rows of a direction, its state in registers. For products
with the weights, where each thread needs all of it, the state goes by way of memory; the weights come through
shared memory, some rows at a time, the next ones on their way. It computes what the scan of `rnn_kernels`
computes: the same states, saved values and notes.

XLA cannot split a kernel by itself: `custom_partitioning` says that rows are independent, so a batch sharded
over devices stays sharded.

JAX deprecated this backend of Pallas in 0.11; where a JAX has none, `fits` says no and the scan runs.
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

Directions = tuple[Array, ...]  # as in `rnn_kernels`: one entry a direction


def fits(hidden: int, dtype: Any) -> bool:
    """Whether there are kernels for states of this size in this compute type (on CUDA devices)."""
    try:
        from jax.experimental.pallas import triton  # noqa: F401  (deprecated in JAX 0.11)
    except ImportError:
        return False
    power_of_two = hidden & (hidden - 1) == 0
    return dtype == jnp.bfloat16 and SMALLEST <= hidden <= LARGEST and power_of_two


def forward(gates: Directions, w: Directions, b: Directions, state0: tuple, mask: Directions):
    """`rnn_kernels._forward` of a GRU with `keep`: the same arguments and results."""
    w_t = jnp.stack([w_d.T for w_d in w]).astype(gates[0].dtype)
    steps = jnp.stack(mask)[..., 0].astype(jnp.float32)
    h0 = jnp.stack([h for (h,) in state0])
    h, r, z, n, u_n, last = forward_kernel(jnp.stack(gates), w_t, jnp.stack(b), h0, steps)
    outputs = (((h[d],), (r[d], z[d], n[d], u_n[d])) for d in range(len(gates)))
    return tuple((h_d,) for h_d in last), tuple(outputs)


def backward(w: Directions, dlast: tuple, dy: Directions, slopes: tuple):
    """`rnn_kernels._backward` of a GRU: the same arguments and results."""
    d_gates, z, _ = map(jnp.stack, zip(*slopes, strict=True))
    dstate = jnp.stack([h for (h,) in dlast])
    dh, dh0 = backward_kernel(jnp.stack(dy), d_gates, z, jnp.stack(w).astype(d_gates.dtype), dstate)
    return tuple((h,) for h in dh0), tuple(dh)


def _over_rows(rule: str):
    """For a function of arrays and `interpret`: XLA may split it along b of its sharding rule only."""

    def decorate(function):
        split = custom_partitioning(function, static_argnums=(len(rule.split("->")[0].split(",")),))

        def partition(interpret, mesh, arguments, results):
            shardings = tuple(argument.sharding for argument in arguments)
            lowered = functools.partial(function, interpret=interpret)
            return mesh, lowered, tuple(result.sharding for result in results), shardings

        whole = tuple(sorted("dthk", key=rule.index))  # XLA wants them in the order of the rule
        split.def_partition(partition, sharding_rule=rule, need_replication_factors=whole)
        return functools.wraps(function)(split)

    return decorate


@_over_rows("d t b k, d h k, d k, d b h, d t b -> d t b h, d t b h, d t b h, d t b h, d t b h, d b h")
def forward_kernel(
    gates: Float[Array, "direction time batch gates"],
    w_t: Float[Array, "direction hidden gates"],
    b: Float[Array, "direction gates"],
    h0: Float[Array, "direction batch hidden"],
    steps: Float[Array, "direction time batch"],
    interpret: bool = False,
) -> tuple[Array, ...]:
    """h, r, z, n and U_n h + b_n of every step [D, T, B, H] in the type of `gates`, and the last h.

    Args:
      gates: Input projections with their bias.
      w_t, b: Hidden weights in the type of `gates`, and their bias.
      h0: State before the first step, float32.
      steps: 0 where the state is handed on unchanged, else 1.
      interpret: Run it as plain JAX, on any device.
    """
    directions, time, batch, _ = gates.shape
    history = jax.ShapeDtypeStruct((directions, time, batch, h0.shape[-1]), gates.dtype)
    scratch = jax.ShapeDtypeStruct(h0.shape, gates.dtype)
    outputs = [history] * 5 + [scratch, jax.ShapeDtypeStruct(h0.shape, h0.dtype)]
    axes = (2, None, None, 1, 2)
    arguments = (gates, w_t, b, h0, steps)
    *results, _, last = _call(_forward_program, arguments, axes, outputs, FORWARD_STAGES, interpret)
    return (*results, last)


@_over_rows("d t b h, d t b k, d t b h, d k h, d b h -> d t b h, d b h")
def backward_kernel(
    dy: Float[Array, "direction time batch hidden"],
    d_gates: Float[Array, "direction time batch gates"],
    z: Float[Array, "direction time batch hidden"],
    w: Float[Array, "direction gates hidden"],
    dlast: Float[Array, "direction batch hidden"],
    interpret: bool = False,
) -> tuple[Array, Array]:
    """d h of every step in the type of `dy`, and d h0.

    Args:
      dy: Gradient of the outputs.
      d_gates, z: Slopes of a GRU, see `rnn_kernels`.
      w: Hidden weights in the type of `dy`.
      dlast: Gradient of the last state, float32.
      interpret: Run it as plain JAX, on any device.
    """
    scratch = jax.ShapeDtypeStruct((*dlast.shape[:2], d_gates.shape[-1]), dy.dtype)
    dh_shape, dh0_shape = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (dy, dlast))
    outputs = [dh_shape, scratch, dh0_shape]
    axes = (2, 2, 2, None, 1)
    arguments = (dy, d_gates, z, w, dlast)
    dh, _, dh0 = _call(_backward_program, arguments, axes, outputs, BACKWARD_STAGES, interpret)
    return dh, dh0


def _call(
    program: Any, arguments: tuple, axes: tuple, outputs: list, stages: int, interpret: bool
) -> tuple[Array, ...]:
    """Runs one program a direction and group of rows, which stand in `axes` of the arguments."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    def spec(array, axis):
        block = tuple(ROWS if i == axis else size for i, size in enumerate(array.shape))[1:]
        return pl.BlockSpec(
            (None, *block), lambda d, i: (d, *(i if j == axis else 0 for j in range(1, array.ndim)))
        )

    batch = outputs[-1].shape[1]
    padding = -batch % ROWS
    arguments = tuple(_pad(x, axis, padding) for x, axis in zip(arguments, axes, strict=True))
    padded = [jax.eval_shape(functools.partial(_pad, axis=x.ndim - 2, by=padding), x) for x in outputs]
    # What one thread wrote another reads; plain JAX has no threads.
    barrier = (lambda: None) if interpret else triton.debug_barrier
    results = pl.pallas_call(
        functools.partial(program, barrier=barrier),
        grid=(outputs[-1].shape[0], (batch + padding) // ROWS),
        in_specs=[spec(x, axis) for x, axis in zip(arguments, axes, strict=True)],
        out_specs=[spec(x, x.ndim - 2) for x in padded],
        out_shape=padded,
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=stages),
        interpret=interpret,
    )(*arguments)
    return tuple(lax.slice_in_dim(x, 0, batch, axis=x.ndim - 2) for x in results)


def _pad(x: Array, axis: int | None, by: int) -> Array:
    return x if axis is None else jnp.pad(x, [(0, by * (i == axis)) for i in range(x.ndim)])


def _gate(number: int, hidden: int) -> Any:
    """Where a gate stands among 3H; blocks have sizes of powers of two, so each is read by itself."""
    from jax.experimental import pallas as pl

    return pl.ds(number * hidden, hidden)


def _forward_program(gates, w_t, b, h0, steps, *outputs, barrier) -> None:
    """All time steps of some rows; the equations are those of `rnn_kernels.gru_step`."""
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


def _backward_program(dy, d_gates, z, w, dlast, dh_of, scratch, dh0, *, barrier) -> None:
    """All time steps of some rows, the last first; the equations are those of `rnn_kernels._gru_back`."""
    time = dy.shape[0]
    of = [_gate(number, dlast.shape[-1]) for number in range(GATES)]

    def step(done, dh):
        t = time - 1 - done
        dh = dh + dy[t].astype(dh.dtype)
        dh_of[t] = dh.astype(dh_of.dtype)
        for gate in of:
            scratch[:, gate] = (d_gates[t, :, gate].astype(dh.dtype) * dh).astype(scratch.dtype)
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

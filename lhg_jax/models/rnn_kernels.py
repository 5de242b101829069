"""The recurrence of GRU and LSTM layers: one step, a scan over it, and a hand-written reverse pass.

A plain `grad` of a scan accumulates the weight gradient step by step. Here the reverse scan carries only the
gradient of the state: what does not depend on it (slopes of the gates) is computed for all time steps before,
and the weight gradient is one matmul over all time steps after. On a CPU that is where the gain over a plain
scan is; unrolling adds nothing (tools/bench/gru.py).

On NVIDIA GPUs a GRU that is trained in bfloat16 takes the kernels of `rnn_triton` in place of both scans.

Both directions of a layer run in one scan, each on its own (already flipped) input, so a layer takes T
sequential steps and not 2T. The arguments of a scan are therefore tuples with one entry a direction.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from lhg_jax.models import rnn_triton

State = tuple[Array, ...]  # (h,) or (h, c), each [batch, hidden], float32 (float64 if the gates are)


class Cell(NamedTuple):
    """A recurrent cell with K gates and H units, and its reverse pass.

    Attributes:
      step: (state, gates [B, KH], w transposed [H, KH], b [KH]) -> (state, saved), one time step.
      slopes: (previous states, saved, mask [T, B, 1], dtype) -> factors of the reverse pass, all time steps.
      back: (dstate, slopes of one step, w [KH, H]) -> (dstate one step earlier, note).
      finish: (notes, slopes) -> (d gates, d hidden projection), both [T, B, KH], all time steps.
      kernels: Module with `fits`, `forward` and `backward` for both scans on CUDA devices; None: no such.
    """

    step: Callable
    slopes: Callable
    back: Callable
    finish: Callable
    kernels: Any = None


def _dot(x: Array, w: Array) -> Array:
    """`x @ w` in the type of w, summed in float32 at least."""
    return jnp.dot(x.astype(w.dtype), w, preferred_element_type=carry_dtype(w.dtype))


def carry_dtype(dtype: Any) -> Any:
    """Type of the recurrent state for a compute type: float32, or float64 for float64."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


def gru_step(
    state: State, gates: Float[Array, "batch gates"], w_t: Float[Array, "hidden gates"], b: Array
) -> tuple[State, tuple[Array, ...]]:
    """One step of a GRU in the convention of cuDNN and torch: gates r, z, n.

    r = sigmoid(x_r + U_r h + b_r), z = sigmoid(x_z + U_z h + b_z), n = tanh(x_n + r (U_n h + b_n)),
    h' = (1 - z) n + z h, where `gates` holds x_r, x_z, x_n (input projection with its bias).

    Returns:
      New state (h',) and what the reverse pass needs: (r, z, n, U_n h + b_n).
    """
    (h,) = state
    x_r, x_z, x_n = jnp.split(gates.astype(h.dtype), 3, axis=-1)
    u_r, u_z, u_n = jnp.split(_dot(h, w_t) + b.astype(h.dtype)[None], 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + u_r), jax.nn.sigmoid(x_z + u_z)
    n = jnp.tanh(x_n + r * u_n)
    return ((1 - z) * n + z * h,), (r, z, n, u_n)


def _gru_slopes(states: State, saved: tuple, mask_TB1: Array, dtype: jnp.dtype) -> tuple[Array, ...]:
    (h,) = states
    r, z, n, u_n = saved
    d_n = (1 - z) * (1 - n * n)  # of the input's part of n; the hidden part's has r as a factor
    d_r = d_n * u_n * r * (1 - r)
    d_z = (h - n) * z * (1 - z)
    d_gates = jnp.where(mask_TB1, jnp.concatenate([d_r, d_z, d_n * r], -1), 0)
    # A frozen step hands its state on unchanged: as if z were 1.
    return (
        d_gates.astype(dtype),
        jnp.where(mask_TB1, z, 1).astype(dtype),
        jnp.where(mask_TB1, d_n, 0).astype(dtype),
    )


def _gru_back(dstate: State, slopes: tuple, w: Array) -> tuple[State, Array]:
    (dh,) = dstate
    d_gates, z, _ = slopes
    d_hidden = d_gates.astype(dh.dtype) * jnp.concatenate([dh] * 3, -1)
    return (dh * z.astype(dh.dtype) + _dot(d_hidden, w),), dh


def _gru_finish(dh: Array, slopes: tuple) -> tuple[Array, Array]:
    d_gates, _, d_n = slopes
    d_hidden = d_gates.astype(dh.dtype) * jnp.concatenate([dh] * 3, -1)
    d_input_n = d_n.astype(dh.dtype) * dh
    return jnp.concatenate([d_hidden[..., : -dh.shape[-1]], d_input_n], -1), d_hidden


def lstm_step(
    state: State, gates: Float[Array, "batch gates"], w_t: Float[Array, "hidden gates"], b: Array
) -> tuple[State, tuple[Array, ...]]:
    """One step of an LSTM: gates i, f, g, o; c' = f c + i g, h' = o tanh(c').

    Returns:
      New state (h', c') and what the reverse pass needs: (i, f, g, o, tanh(c')).
    """
    h, c = state
    gates_i, gates_f, gates_g, gates_o = jnp.split(
        gates.astype(h.dtype) + _dot(h, w_t) + b.astype(h.dtype)[None], 4, axis=-1
    )
    i, f, o = jax.nn.sigmoid(gates_i), jax.nn.sigmoid(gates_f), jax.nn.sigmoid(gates_o)
    g = jnp.tanh(gates_g)
    c = f * c + i * g
    tanh_c = jnp.tanh(c)
    return (o * tanh_c, c), (i, f, g, o, tanh_c)


def _lstm_slopes(states: State, saved: tuple, mask_TB1: Array, dtype: jnp.dtype) -> tuple[Array, ...]:
    _, c = states
    i, f, g, o, tanh_c = saved
    of_c = jnp.concatenate([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g)], -1)  # d gates i, f, g / d c'
    of_h = tanh_c * o * (1 - o)  # d gate o / d h'
    masked = [
        jnp.where(mask_TB1, slope, 0).astype(dtype) for slope in (of_c, of_h, o * (1 - tanh_c * tanh_c))
    ]
    return (*masked, jnp.where(mask_TB1, f, 1).astype(dtype), 1 - mask_TB1.astype(dtype))


def _lstm_back(dstate: State, slopes: tuple, w: Array) -> tuple[State, Array]:
    dh, dc = dstate
    of_c, of_h, c_of_h, f, frozen = (slope.astype(dh.dtype) for slope in slopes)
    dc = dc + dh * c_of_h
    d_gates = jnp.concatenate([jnp.concatenate([dc] * 3, -1) * of_c, dh * of_h], -1)
    return (_dot(d_gates, w) + frozen * dh, dc * f), d_gates


def _lstm_finish(d_gates: Array, slopes: tuple) -> tuple[Array, Array]:
    return d_gates, d_gates


def _forward(cell: Cell, gates, w, b, state0, mask, keep: bool):
    """The forward scan: last states, and (h,) or (states, saved) of all steps for every direction."""
    dtype = gates[0].dtype
    w_t = tuple(w_d.T.astype(dtype) for w_d in w)

    def step(state, gates_BK, w_t_d, b_d, mask_B1):
        new, saved = cell.step(state, gates_BK, w_t_d, b_d)
        state = tuple(jnp.where(mask_B1, after, before) for after, before in zip(new, state, strict=True))
        output = tuple(part.astype(dtype) for part in state)
        return state, (output, tuple(part.astype(dtype) for part in saved)) if keep else output[:1]

    def body(states, inputs_t):
        gates_t, mask_t = inputs_t
        return tuple(zip(*map(step, states, gates_t, w_t, b, mask_t), strict=True))

    return lax.scan(body, state0, (gates, mask))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(cell: Cell, gates, w, b, state0, mask):
    """Runs a cell over time. All arguments but the first are tuples with one entry a direction.

    Args:
      cell: What to run.
      gates: Input projections with bias [T, B, KH], in the compute type (bfloat16 or float32).
      w: Hidden weights [KH, H], float32.
      b: Hidden bias [KH], float32.
      state0: (h,) or (h, c) before the first step, [B, H] float32; the state stays float32 inside.
      mask: [T, B, 1] bool; where False, the state is handed on unchanged and no gradient flows.

    Returns:
      h after every step [T, B, H] in the compute type, and the last state (float32).
    """
    last, outputs = _forward(cell, gates, w, b, state0, mask, keep=False)
    return tuple(h for (h,) in outputs), last


def _backward(cell: Cell, w, dlast, dy, slopes):
    """The reverse scan: gradient of the states before the first step, and notes of all steps."""
    dtype = dy[0].dtype
    w_cast = tuple(w_d.astype(dtype) for w_d in w)

    def back(dstate, dy_BH, slopes_t, w_d):
        dstate = (dstate[0] + dy_BH.astype(dstate[0].dtype), *dstate[1:])
        dstate, note = cell.back(dstate, slopes_t, w_d)
        return dstate, note.astype(dtype)

    def body(dstates, inputs_t):
        return tuple(zip(*map(back, dstates, *inputs_t, w_cast), strict=True))

    # Only this pass scans backwards; the forward graph, which is what gets exported, never does.
    return lax.scan(body, dlast, (dy, slopes), reverse=True)


def _choose(cell: Cell, scan: Callable, kernel: str, w: Array, dtype: Any) -> Callable:
    """`scan`, or on CUDA devices the cell's kernel of that name, where it has one for weights w [KH, H]."""
    if cell.kernels is None or not cell.kernels.fits(w.shape[-1], dtype):
        return scan
    return functools.partial(lax.platform_dependent, cuda=getattr(cell.kernels, kernel), default=scan)


def _scan_forward(cell: Cell, gates, w, b, state0, mask):
    scan = functools.partial(_forward, cell, keep=True)
    run = _choose(cell, scan, "forward", w[0], gates[0].dtype)
    last, outputs = run(gates, w, b, state0, mask)
    states, saved = zip(*outputs, strict=True)
    return (tuple(state[0] for state in states), last), (w, b, state0, mask, states, saved)


def _scan_backward(cell: Cell, residuals, cotangents):
    w, b, state0, mask, states, saved = residuals
    dy, dlast = cotangents
    dtype = dy[0].dtype
    previous = jax.tree.map(lambda s0, s: jnp.concatenate([s0.astype(dtype)[None], s[:-1]]), state0, states)
    slopes = tuple(cell.slopes(*args, dtype) for args in zip(previous, saved, mask, strict=True))
    run = _choose(cell, functools.partial(_backward, cell), "backward", w[0], dtype)
    dstate0, notes = run(w, dlast, dy, slopes)
    dgates, dhidden = zip(*map(cell.finish, notes, slopes), strict=True)
    dw = tuple(
        jnp.einsum("tbk,tbh->kh", d, h[0], preferred_element_type=w_d.dtype)
        for h, d, w_d in zip(previous, dhidden, w, strict=True)
    )
    db = tuple(d.sum((0, 1), dtype=b_d.dtype) for d, b_d in zip(dhidden, b, strict=True))
    return dgates, dw, db, dstate0, None


_scan.defvjp(_scan_forward, _scan_backward)
gru_scan = functools.partial(_scan, Cell(gru_step, _gru_slopes, _gru_back, _gru_finish, rnn_triton))
lstm_scan = functools.partial(_scan, Cell(lstm_step, _lstm_slopes, _lstm_back, _lstm_finish))

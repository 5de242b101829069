"""The recurrence of an LSTM layer: one step, a scan over it, and a hand-written reverse pass.

Gates in the convention of cuDNN and torch, in the order i, f, g, o. With x the input projection and its bias,
h and c the state before the step, U and b the hidden weights and bias, each gate's a = x + U h + b:

    i  = sigmoid(a_i)
    f  = sigmoid(a_f)
    g  = tanh(a_g)
    o  = sigmoid(a_o)
    c' = f c + i g,  h' = o tanh(c')

Arrays and the division of labour between the scans are those of `gru`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from lhg_jax.models.gru import dot, stacked, weight_gradients

State = tuple[Array, Array]  # h and c, each [direction, batch, hidden], float32


def step(
    state: tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"]],
    gates: Float[Array, "batch gates"],
    w_t: Float[Array, "hidden gates"],
    b: Float[Array, "gates"],
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    """One step of one direction: the new (h, c), and i, f, g, o and tanh(c') for the reverse pass."""
    h, c = state
    a_i, a_f, a_g, a_o = jnp.split(gates.astype(h.dtype) + dot(h, w_t) + b.astype(h.dtype)[None], 4, axis=-1)
    i = jax.nn.sigmoid(a_i)
    f = jax.nn.sigmoid(a_f)
    g = jnp.tanh(a_g)
    o = jax.nn.sigmoid(a_o)
    c = f * c + i * g
    tanh_c = jnp.tanh(c)
    return (o * tanh_c, c), (i, f, g, o, tanh_c)


@jax.custom_vjp
def scan(
    gates: Float[Array, "direction time batch gates"],
    w: Float[Array, "direction gates hidden"],
    b: Float[Array, "direction gates"],
    state0: State,
    mask: Bool[Array, "direction time batch 1"],
) -> tuple[Float[Array, "direction time batch hidden"], State]:
    """All time steps; arguments and results as of `gru.scan`, the states being pairs (h, c)."""
    last, (h,) = _forward(gates, w, b, state0, mask, keep=False)
    return h, last


def scan_fwd(gates: Array, w: Array, b: Array, state0: State, mask: Array) -> tuple[Any, Any]:
    """`scan`, and what its reverse pass needs."""
    last, (h, c, *saved) = _forward(gates, w, b, state0, mask, keep=True)
    return (h, last), (w, b, state0, mask, h, c, saved)


def scan_bwd(residuals: Any, cotangents: tuple[Array, State]) -> tuple[Any, ...]:
    """Gradients by the arguments of `scan`."""
    w, b, state0, mask, h, c, (i, f, g, o, tanh_c) = residuals
    dy, dlast = cotangents
    h, c = (
        jnp.concatenate([first.astype(dy.dtype)[:, None], later[:, :-1]], axis=1)
        for first, later in zip(state0, (h, c), strict=True)
    )
    of_c = jnp.concatenate([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g)], -1)  # d a_i, a_f, a_g / d c'
    of_h = tanh_c * o * (1 - o)  # d a_o / d h'
    c_of_h = o * (1 - tanh_c * tanh_c)  # d c' / d h'
    # A step outside the mask hands its state on: c as if f were 1, h as it is.
    factors = [jnp.where(mask, x, 0).astype(dy.dtype) for x in (of_c, of_h, c_of_h)]
    factors += [jnp.where(mask, f, 1).astype(dy.dtype), 1 - mask.astype(dy.dtype)]
    d_gates, dstate0 = _backward(dy, factors, w, dlast)
    return d_gates, *weight_gradients(d_gates, h, w, b), dstate0, None


scan.defvjp(scan_fwd, scan_bwd)


def _forward(
    gates: Array, w: Array, b: Array, state0: State, mask: Array, *, keep: bool
) -> tuple[State, tuple]:
    """The last states, and (h,) or (h, c, i, f, g, o, tanh(c')) of all steps."""
    dtype = gates.dtype
    weights = tuple(jnp.swapaxes(w, 1, 2).astype(dtype)), tuple(b)  # before the scan, as in `gru`

    def direction(state, gates_t, mask_t, w_t_d, b_d):
        new, saved = step(state, gates_t, w_t_d, b_d)
        h, c = (jnp.where(mask_t, after, before) for after, before in zip(new, state, strict=True))
        return (h, c), tuple(x.astype(dtype) for x in ((h, c, *saved) if keep else (h,)))

    def body(states, inputs):
        return tuple(zip(*map(direction, states, *inputs, *weights), strict=True))

    start = tuple(zip(*state0, strict=True))  # one pair a direction
    last, outputs = lax.scan(body, start, (tuple(gates), tuple(mask)))
    h, c = stacked(last)
    return (h, c), stacked(outputs)


def _backward(dy: Array, factors: list[Array], w: Array, dlast: State) -> tuple[Array, State]:
    """The reverse scan: gradients of the gates at every step, and of the states before the first one."""
    weights = tuple(w.astype(dy.dtype))  # before the scan, as in `gru`

    def direction(dstate, dy_t, factors_t, w_d):
        dh, dc = dstate
        dh = dh + dy_t.astype(dh.dtype)
        of_c, of_h, c_of_h, f, frozen = (x.astype(dh.dtype) for x in factors_t)
        dc = dc + dh * c_of_h
        d_gates = jnp.concatenate([jnp.concatenate([dc] * 3, -1) * of_c, dh * of_h], -1)
        return (dot(d_gates, w_d) + frozen * dh, dc * f), (d_gates.astype(dy_t.dtype),)

    def body(dstates, inputs):
        return tuple(zip(*map(direction, dstates, *inputs, weights), strict=True))

    of_directions = tuple(zip(*factors, strict=True))
    start = tuple(zip(*dlast, strict=True))
    dstates, outputs = lax.scan(body, start, (tuple(dy), of_directions), reverse=True)
    (d_gates,) = stacked(outputs)
    dh, dc = stacked(dstates)
    return d_gates, (dh, dc)

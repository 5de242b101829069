"""The recurrence of a GRU layer: one step, a scan over it, and a hand-written reverse pass.

Gates in the convention of cuDNN and torch, in the order r, z, n. With x the input projection and its bias, h
the state before the step, U and b the hidden weights and bias:

    r  = sigmoid(x_r + U_r h + b_r)
    z  = sigmoid(x_z + U_z h + b_z)
    u  = U_n h + b_n
    n  = tanh(x_n + r u)
    h' = (1 - z) n + z h

A plain `grad` of a scan accumulates the weight gradient step by step. Here the reverse scan carries only the
gradient of the state: the factors that do not depend on it are computed for all time steps before, and the
weight gradient is one matmul over all time steps after. On a CPU that is where the gain over a plain scan
is; unrolling adds nothing (tools/bench/gru.py). On NVIDIA GPUs a GRU that is trained in bfloat16 takes the
kernels of `gru_triton` in place of both scans.

Arrays are [direction, time, batch, unit]. Both directions of a layer go through one scan, each on its own
(already flipped) input, so a layer takes T sequential steps and not 2T.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from lhg_jax.models import gru_triton

Gates = Float[Array, "direction time batch gates"]  # 3H of them: r, z, n
States = Float[Array, "direction time batch hidden"]


def carry_dtype(dtype: Any) -> Any:
    """Type of the recurrent state for a compute type: float32, or float64 for float64."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


def dot(x: Array, w: Array) -> Array:
    """`x @ w` in the type of w, summed in float32 at least."""
    return jnp.dot(x.astype(w.dtype), w, preferred_element_type=carry_dtype(w.dtype))


def step(
    h: Float[Array, "batch hidden"],
    gates: Float[Array, "batch gates"],
    w_t: Float[Array, "hidden gates"],
    b: Float[Array, "gates"],
) -> tuple[Float[Array, "batch hidden"], tuple[Array, ...]]:
    """One step of one direction: the new state, and r, z, n and u for the reverse pass."""
    x_r, x_z, x_n = jnp.split(gates.astype(h.dtype), 3, axis=-1)
    u_r, u_z, u = jnp.split(dot(h, w_t) + b.astype(h.dtype)[None], 3, axis=-1)
    r = jax.nn.sigmoid(x_r + u_r)
    z = jax.nn.sigmoid(x_z + u_z)
    n = jnp.tanh(x_n + r * u)
    return (1 - z) * n + z * h, (r, z, n, u)


@jax.custom_vjp
def scan(
    gates: Gates,
    w: Float[Array, "direction gates hidden"],
    b: Float[Array, "direction gates"],
    h0: Float[Array, "direction batch hidden"],
    mask: Bool[Array, "direction time batch 1"],
) -> tuple[States, Float[Array, "direction batch hidden"]]:
    """All time steps.

    Args:
      gates: input projections with their bias, in the compute type (bfloat16 or float32).
      w: hidden weights, float32.
      b: hidden bias, float32.
      h0: states before the first step, float32; the state stays float32 inside.
      mask: where False, the state is handed on unchanged and no gradient flows.

    Returns:
      h after every step in the compute type, and the last state (float32).
    """
    last, (h,) = _forward(gates, w, b, h0, mask, keep=False)
    return h, last


def scan_fwd(gates: Gates, w: Array, b: Array, h0: Array, mask: Array) -> tuple[Any, Any]:
    """`scan`, and what its reverse pass needs."""
    run = _on(gates.dtype, w, gru_triton.forward, functools.partial(_forward, keep=True))
    last, (h, *saved) = run(gates, w, b, h0, mask)
    return (h, last), (w, b, h0, mask, h, saved)


def scan_bwd(residuals: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    """Gradients by the arguments of `scan`.

    With g the gradient of h' and r, z, n, u of that step: g reaches r, z, u by d_r, d_z, d_n r, the input's
    part of n by d_n, and the state before both by z and through U.
    """
    w, b, h0, mask, h, (r, z, n, u) = residuals
    dy, dlast = cotangents
    before = jnp.concatenate([h0.astype(dy.dtype)[:, None], h[:, :-1]], axis=1)
    d_n = (1 - z) * (1 - n * n)
    d_r = d_n * u * r * (1 - r)
    d_z = (before - n) * z * (1 - z)
    # A step outside the mask hands its state on, as if z were 1. Factors are kept in the compute type.
    factors = jnp.where(mask, jnp.concatenate([d_r, d_z, d_n * r], -1), 0).astype(dy.dtype)
    z = jnp.where(mask, z, 1).astype(dy.dtype)
    d_n = jnp.where(mask, d_n, 0).astype(dy.dtype)
    g, dh0 = _on(dy.dtype, w, gru_triton.backward, _backward)(dy, factors, z, w, dlast)
    d_hidden = factors.astype(g.dtype) * jnp.concatenate([g] * 3, -1)
    d_gates = jnp.concatenate([d_hidden[..., : -g.shape[-1]], d_n.astype(g.dtype) * g], -1)
    return d_gates, *weight_gradients(d_hidden, before, w, b), dh0, None


scan.defvjp(scan_fwd, scan_bwd)


def weight_gradients(d_hidden: Gates, before: States, w: Array, b: Array) -> tuple[Array, Array]:
    """Gradients of the hidden weights and bias, summed over time and batch, in their own type."""
    pairs = zip(d_hidden, before, strict=True)
    dw = [jnp.einsum("tbk,tbh->kh", d, h, preferred_element_type=w.dtype) for d, h in pairs]
    return jnp.stack(dw), d_hidden.sum((1, 2), dtype=b.dtype)


def _forward(gates: Gates, w: Array, b: Array, h0: Array, mask: Array, *, keep: bool) -> tuple[Array, tuple]:
    """The last states, and (h,) or (h, r, z, n, u) of all steps."""
    dtype = gates.dtype
    # Directions are taken apart before the scan: XLA would copy the weights out of one array at every step.
    weights = tuple(jnp.swapaxes(w, 1, 2).astype(dtype)), tuple(b)

    def direction(h, gates_t, mask_t, w_t_d, b_d):
        new, saved = step(h, gates_t, w_t_d, b_d)
        h = jnp.where(mask_t, new, h)
        return h, tuple(x.astype(dtype) for x in ((h, *saved) if keep else (h,)))

    def body(h, inputs):
        return tuple(zip(*map(direction, h, *inputs, *weights), strict=True))

    last, outputs = lax.scan(body, tuple(h0), (tuple(gates), tuple(mask)))
    return jnp.stack(last), stacked(outputs)


def _backward(dy: States, factors: Gates, z: States, w: Array, dlast: Array) -> tuple[States, Array]:
    """The reverse scan: the gradient of h' at every step, and that of the states before the first one."""
    weights = tuple(w.astype(dy.dtype))  # before the scan, as in `_forward`

    def direction(dh, dy_t, factors_t, z_t, w_d):
        g = dh + dy_t.astype(dh.dtype)
        through_u = dot(factors_t.astype(g.dtype) * jnp.concatenate([g] * 3, -1), w_d)
        return g * z_t.astype(g.dtype) + through_u, (g.astype(dy_t.dtype),)

    def body(dh, inputs):
        return tuple(zip(*map(direction, dh, *inputs, weights), strict=True))

    # Only this pass scans backwards; the forward graph, which is what gets exported, never does.
    dh0, outputs = lax.scan(body, tuple(dlast), (tuple(dy), tuple(factors), tuple(z)), reverse=True)
    (g,) = stacked(outputs)
    return g, jnp.stack(dh0)


def stacked(outputs: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    """One tuple of arrays a direction -> one tuple of arrays with a leading direction axis."""
    return tuple(jnp.stack(parts) for parts in zip(*outputs, strict=True))


def _on(dtype: Any, w: Array, kernel: Callable, plain: Callable) -> Callable:
    """`plain`, or on CUDA devices `kernel`, where there is one for weights w in this compute type."""
    if not gru_triton.fits(w.shape[-1], dtype):
        return plain
    return functools.partial(lax.platform_dependent, cuda=kernel, default=plain)

"""What causal layers carry from one piece of a stream to the next: variables of the collection "stream".

A clip is a stream in one piece: the same code runs offline, in training and live. Layers read what the piece
before has left, zeros at the start; where the collection is mutable they leave what the next piece needs:

    state = {}
    for piece in pieces:
        motion, state = model.apply({**variables, **state}, piece, ..., mutable=["stream"])

The shapes of what is left may depend on the length so far: a layer that keeps every second row holds one more
row after an odd one. With four frames a period, a function that takes one frame is compiled four times.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lhg_jax.features import Size

STREAM = "stream"


def recall(module: nn.Module, name: str, start: Array) -> Array:
    """What the last piece left under `name`; `start` where there was none."""
    return module.get_variable(STREAM, name, start)


def leave(module: nn.Module, name: str, value: Array) -> None:
    """Leaves a value for the next piece, where one is to come."""
    if module.is_mutable_collection(STREAM) and not module.is_initializing():
        module.put_variable(STREAM, name, value)


def with_past(
    module: nn.Module,
    name: str,
    x: Float[Array, "batch time *rest"],
    span: int,
    *,
    stride: int = 1,
    zeros: int | None = None,
) -> Float[Array, "batch longer *rest"]:
    """x behind the earlier rows that a causal layer's next outputs still see.

    Output i of the layer reads rows [i stride, i stride + span) of the result; there are as many outputs as
    fit. What the outputs after these need is left for the next piece.

    Args:
      module: whose state it is.
      name: of the state.
      x: rows of this piece, at least none.
      span: rows that one output reads.
      stride: rows from one output to the next.
      zeros: rows of zeros before the first one; `span - 1` (as many outputs as rows) if None.
    """
    rows = span - 1 if zeros is None else zeros
    start = jnp.zeros((x.shape[0], rows, *x.shape[2:]), x.dtype)
    rows_before = recall(module, name, start)
    x = jnp.concatenate([rows_before, x], axis=1)
    if isinstance(x.shape[1], int):  # a symbolic length is that of an exported clip, which is whole
        outputs = max((x.shape[1] - span) // stride + 1, 0)
        leave(module, name, x[:, outputs * stride :])
    return x


def take(
    module: nn.Module, name: str, x: Float[Array, "batch time size"], rows: Size
) -> Float[Array, "batch rows size"]:
    """The next `rows` rows of a sequence that runs ahead of the others; the rest waits for the next piece."""
    x = jnp.concatenate([recall(module, name, x[:, :0]), x], axis=1)
    leave(module, name, x[:, rows:])
    return x[:, :rows]


def fading_mean(
    module: nn.Module,
    x_BTC: Float[Array, "batch time channel"],
    mask_BT: Bool[Array, "batch time"] | None,
    memory: float,
) -> Float[Array, "batch time channel"]:
    """At each step, the mean over the steps so far, each counted exp(-1/memory) times the one after it.

    At the start it is the plain mean of what has been; a step that lies `memory` steps back weighs 1/e.
    """
    weights_BT1 = jnp.ones_like(x_BTC[..., :1]) if mask_BT is None else mask_BT[..., None].astype(x_BTC.dtype)
    decay = math.exp(-1 / memory)
    total_BTC = _fading_sum(module, "total", x_BTC * weights_BT1, decay)
    return total_BTC / jnp.maximum(_fading_sum(module, "count", weights_BT1, decay), 1e-6)


def _fading_sum(
    module: nn.Module, name: str, x_BTC: Float[Array, "batch time channel"], decay: float
) -> Float[Array, "batch time channel"]:
    """s_t = decay s_{t-1} + x_t, in log2(T) rounds: after round k each s_t holds the last 2^k steps."""
    x_BTC = jnp.concatenate([recall(module, name, jnp.zeros_like(x_BTC[:, :1])), x_BTC], axis=1)
    length, shift = x_BTC.shape[1], 1
    while decay > NOTHING and (not isinstance(length, int) or shift < length):
        x_BTC = x_BTC + decay * jnp.pad(x_BTC, ((0, 0), (shift, 0), (0, 0)))[:, :length]
        decay, shift = decay * decay, 2 * shift
    leave(module, name, x_BTC[:, length - 1 :])
    return x_BTC[:, 1:]


NOTHING = 1e-9  # a share of the past that no float32 sum can tell from nothing

"""Stacks of GRU and LSTM layers over padded batches, with the parameters of their torch twins.

Parameters have the names, shapes and gate order of `torch.nn.GRU` / `torch.nn.LSTM` (`weight_ih_l0`,
`weight_hh_l0_reverse`, ...), so a state dict is a dict of parameters; `from_torch` only checks it.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lhg_jax.features import Size
from lhg_jax.models import gru, lstm
from lhg_jax.util.errors import UserError

_NAME = re.compile(r"(weight|bias)_[ih]h_l\d+(_reverse)?")


class _Stack(nn.Module):
    """What GRU and LSTM have in common; see `GRUStack`."""

    hidden: int
    layers: int
    bidirectional: bool = True
    use_bias: bool = True
    dropout: float = 0.0
    dtype: Any = jnp.float32

    gates: ClassVar[int]  # rows of the kernels in units of `hidden`
    scan: ClassVar[Callable]  # over time

    @property
    def directions(self) -> tuple[str, ...]:
        """Suffixes of the parameters' names, one a direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters for inputs of size `features`, in torch's order."""
        rows = self.gates * self.hidden
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.layers):
            inputs = features if layer == 0 else self.hidden * len(self.directions)
            for suffix in self.directions:
                shapes[f"weight_ih_l{layer}{suffix}"] = (rows, inputs)
                shapes[f"weight_hh_l{layer}{suffix}"] = (rows, self.hidden)
                if self.use_bias:
                    shapes[f"bias_ih_l{layer}{suffix}"] = (rows,)
                    shapes[f"bias_hh_l{layer}{suffix}"] = (rows,)
        return shapes

    def _parameters(self, features: int) -> dict[str, Array]:
        """All parameters, uniform within +-1/sqrt(hidden) at the start as in torch."""
        bound = self.hidden**-0.5

        def init(key, shape):
            return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

        return {name: self.param(name, init, shape) for name, shape in self.shapes(features).items()}

    def _layer(self, parameters: dict[str, Array], layer: int, x_TBC: Array, mask_TB1: Array, states: Any):
        """One layer, all directions: y [T, B, D], and the last states in the form of `states`."""
        gates, w, b = [], [], []
        for suffix in self.directions:
            name = f"l{layer}{suffix}"
            kernel = parameters[f"weight_ih_{name}"].astype(self.dtype)
            # For all time steps: nothing of it is in the scan.
            projected_TBK = _flip(x_TBC, suffix) @ kernel.T
            if self.use_bias:
                projected_TBK = projected_TBK + parameters[f"bias_ih_{name}"].astype(self.dtype)[None, None]
            gates.append(projected_TBK)
            w.append(parameters[f"weight_hh_{name}"])
            b.append(parameters[f"bias_hh_{name}"] if self.use_bias else jnp.zeros(len(kernel), jnp.float32))
        # Flipped, a row's padding comes first; there the mask keeps the initial state.
        mask = jnp.stack([_flip(mask_TB1, suffix) for suffix in self.directions])
        y, last = type(self).scan(jnp.stack(gates), jnp.stack(w), jnp.stack(b), states, mask)
        flipped = [_flip(y_TBH, suffix) for y_TBH, suffix in zip(y, self.directions, strict=True)]
        return jnp.where(mask_TB1, jnp.concatenate(flipped, -1), 0.0), last

    def _run(self, x_BTC: Array, lengths_B: Array, states: Any, deterministic: bool):
        """All layers; `states`, and those returned, are h or (h, c), each [layers * directions, B, H]."""
        parameters = self._parameters(x_BTC.shape[-1])
        count = len(self.directions)
        mask_TB1 = (jnp.arange(x_BTC.shape[1])[:, None] < lengths_B[None])[..., None]
        # Whatever stands in the padding, even NaN, must not reach the weight gradients.
        x_TBC = jnp.where(mask_TB1, jnp.swapaxes(x_BTC, 0, 1), 0.0).astype(self.dtype)
        states = jax.tree.map(lambda state: state.astype(gru.carry_dtype(self.dtype)), states)
        last = []
        for layer in range(self.layers):
            if layer:
                x_TBC = nn.Dropout(self.dropout)(x_TBC, deterministic=deterministic)
            own = slice(layer * count, (layer + 1) * count)
            start = jax.tree.map(operator.itemgetter(own), states)
            x_TBC, end = self._layer(parameters, layer, x_TBC, mask_TB1, start)
            last.append(end)
        return jnp.swapaxes(x_TBC, 0, 1), jax.tree.map(lambda *parts: jnp.concatenate(parts), *last)

    def _zeros(self, batch: Size) -> Array:
        return jnp.zeros((self.layers * len(self.directions), batch, self.hidden), jnp.float32)


def _flip(x_TBC: Array, suffix: str) -> Array:
    return jnp.flip(x_TBC, 0) if suffix else x_TBC


class GRUStack(_Stack):
    """`torch.nn.GRU` over padded rows, layers and directions in torch's order.

    With `bidirectional=False` the output at a frame depends on that frame and earlier ones only, and a
    sequence may be fed in pieces, down to single frames: each call gets the state that the last one returned.

    Attributes:
      hidden: Size H of the state of one direction.
      layers: Number of layers.
      bidirectional: Whether each layer also runs backwards; y then has 2 H features, forward first.
      use_bias: Whether there are bias vectors.
      dropout: Share of y dropped between layers when not deterministic (needs the "dropout" random stream).
      dtype: Compute type; parameters and the recurrent state are float32 whatever it is.
    """

    gates = 3
    scan = staticmethod(gru.scan)

    @nn.compact
    def __call__(
        self,
        x_BTC: Float[Array, "batch time features"],
        lengths_B: Int[Array, "batch"],
        h0: Float[Array, "states batch hidden"] | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "batch time outputs"], Float[Array, "states batch hidden"]]:
        """Runs all layers.

        Args:
          x_BTC: Inputs; steps at or past a row's length are padding and never looked at.
          lengths_B: Valid steps of each row, 0 to T. The backward direction starts at the last valid one.
          h0: States before the first step (of each direction's own order); zeros when None.
          deterministic: False switches dropout on.

        Returns:
          y, zero past each row's length, and the state (float32) of each layer and direction at a row's end.
        """
        h0 = self._zeros(x_BTC.shape[0]) if h0 is None else h0
        return self._run(x_BTC, lengths_B, h0, deterministic)


class LSTMStack(_Stack):
    """`torch.nn.LSTM` over padded rows; as `GRUStack`, with the pair (h, c) for a state."""

    gates = 4
    scan = staticmethod(lstm.scan)

    @nn.compact
    def __call__(
        self,
        x_BTC: Float[Array, "batch time features"],
        lengths_B: Int[Array, "batch"],
        state0: tuple[Float[Array, "states batch hidden"], Float[Array, "states batch hidden"]] | None = None,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "batch time outputs"], tuple[Array, Array]]:
        """Runs all layers; arguments and results as in `GRUStack`, the states being pairs (h, c)."""
        zeros = self._zeros(x_BTC.shape[0])
        return self._run(x_BTC, lengths_B, (zeros, zeros) if state0 is None else state0, deterministic)


def from_torch(stack: GRUStack | LSTMStack, state_dict: Mapping[str, np.ndarray], prefix: str = "") -> dict:
    """Parameters for `stack` out of a torch state dict (as numpy arrays).

    Args:
      stack: The module the parameters are for.
      state_dict: Arrays by name; names that do not start with `prefix` are left alone.
      prefix: Where the recurrent module stands in the dict, e.g. "fusion.lstm_layers.".

    Returns:
      Dict of float32 arrays for `stack.apply({"params": ...}, ...)`.

    Raises:
      UserError: Names or shapes differ from what the stack needs; the message lists the first ones.
    """
    own = {k.removeprefix(prefix): np.asarray(v) for k, v in state_dict.items() if k.startswith(prefix)}
    own = {k: v for k, v in own.items() if _NAME.fullmatch(k)}
    first = own.get("weight_ih_l0")
    shapes = stack.shapes(first.shape[-1] if first is not None else 0)
    found = {name: value.shape for name, value in own.items()}
    differing = sorted(k for k in shapes.keys() | found.keys() if shapes.get(k) != found.get(k))
    if differing:
        lines = [f"{prefix}{k} (needs {shapes.get(k)}, has {found.get(k)})" for k in differing[:5]]
        raise UserError(
            f"weights do not fit {type(stack).__name__}: {len(differing)} differ, first {', '.join(lines)}"
        )
    return {name: own[name].astype(np.float32) for name in shapes}


def to_torch(params: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The inverse of `from_torch`: a state dict of numpy arrays, names preceded by `prefix`."""
    return {prefix + name: np.asarray(value) for name, value in params.items()}

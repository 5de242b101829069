"""Decoder: listener motion from the fused features, by a recurrent stack started at the first frame."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lhg_jax.models import stream
from lhg_jax.models.rnn import GRUStack


class MotionDecoder(nn.Module):
    """GRU stack over e, h_0 from the listener's first frame; step t predicts frame t + 1.

    Predicts the change from the first frame: a portrait keeps its own resting face and pose, also one far
    from the training set's, and an untrained decoder holds still.

    Attributes:
      coeff: number of coefficients.
      hidden, layers: size of each direction and depth of the stack.
      bidirectional: False gives the causal variant.
      look_ahead: frames of e that the causal variant waits for before it speaks of frame t.
      residual: False predicts the coefficients themselves.
    """

    coeff: int
    hidden: int
    layers: int
    bidirectional: bool = True
    look_ahead: int = 0
    residual: bool = True
    dtype: Any = jnp.float32

    def __call__(
        self,
        e_BTD: Float[Array, "batch frame size"],
        first_BC: Float[Array, "batch coeff"],
        lengths_B: Int[Array, "batch"],
    ) -> Float[Array, "batch frame coeff"]:
        """Normalised coefficients, float32. Frame 0 is `first_BC`; frames past the end mean nothing."""
        delay = 0 if self.bidirectional else self.look_ahead
        y_BTC = self.predict(jnp.pad(e_BTD, ((0, 0), (0, delay), (0, 0))), first_BC, lengths_B + delay)
        return jnp.concatenate([first_BC[:, None], y_BTC[:, delay : y_BTC.shape[1] - 1]], axis=1)

    @nn.compact
    def predict(
        self,
        e_BTD: Float[Array, "batch frame size"],
        first_BC: Float[Array, "batch coeff"],
        lengths_B: Int[Array, "batch"],
    ) -> Float[Array, "batch frame coeff"]:
        """What each step says: step t of frame t + 1, or of `look_ahead` frames earlier."""
        states = self.layers * (2 if self.bidirectional else 1)
        h0 = nn.tanh(nn.Dense(states * self.hidden, name="initial_state")(first_BC))
        h0 = h0.reshape(-1, states, self.hidden).transpose(1, 0, 2)
        gru = GRUStack(self.hidden, self.layers, self.bidirectional, dtype=self.dtype, name="gru")
        y_BTH, h = gru(e_BTD, lengths_B, stream.recall(self, "state", h0))
        stream.leave(self, "state", h)
        last_layer = nn.Dense(
            self.coeff, kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "normal"), name="output"
        )
        change_BTC = last_layer(y_BTH.astype(jnp.float32))
        return change_BTC + first_BC[:, None] if self.residual else change_BTC

"""Text encoder: a causal temporal convolution network over the vectors of the words being spoken.

HA2G's TextEncoderTCN (Bai et al. 2018 blocks) behind its word embedding; here fed with BERT word vectors.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lhg_jax.models import stream


class CausalConv(nn.Module):
    """Weight-normed dilated convolution along time that sees no later step: weight = g · v / ‖v‖.

    y_t = bias + Σ_i weight_i x_{t - (taps - 1 - i)·dilation}, as one matrix product over stacked taps.
    """

    features: int
    taps: int
    dilation: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x_BTC: Float[Array, "batch time channel"]) -> Float[Array, "batch time features"]:
        """The norm of `v` runs over taps and input channels, for each output channel."""
        shape = (self.taps, x_BTC.shape[-1], self.features)
        v = self.param("v", nn.initializers.he_normal(), shape)
        norm_D = jnp.sqrt(jnp.sum(jnp.square(v), axis=(0, 1)))
        g_D = self.param("g", lambda _: norm_D)
        bias_D = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel = (v * (g_D / norm_D)[None, None]).reshape(-1, self.features).astype(self.dtype)
        shifts = [(self.taps - 1 - i) * self.dilation for i in range(self.taps)]
        T, past = x_BTC.shape[1], shifts[0]
        x_BTC = stream.with_past(self, "past", x_BTC, past + 1)
        taps = [x_BTC[:, past - shift : past - shift + T] for shift in shifts]
        y_BTD = jnp.concatenate(taps, axis=-1).astype(self.dtype) @ kernel
        return y_BTD + bias_D.astype(self.dtype)[None, None]


class TemporalBlock(nn.Module):
    """Two causal convolutions, each with ReLU and dropout, plus the input, then ReLU."""

    features: int
    taps: int
    dilation: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x_BTC: Float[Array, "batch time channel"], train: bool
    ) -> Float[Array, "batch time features"]:
        """The input goes through a Dense first where its size differs from `features`."""
        y = x_BTC
        for name in ("conv1", "conv2"):
            y = nn.relu(CausalConv(self.features, self.taps, self.dilation, self.dtype, name=name)(y))
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        if x_BTC.shape[-1] != self.features:
            x_BTC = nn.Dense(self.features, dtype=self.dtype, name="downsample")(x_BTC)
        return nn.relu(x_BTC.astype(self.dtype) + y)


class TextEncoder(nn.Module):
    """Word vectors of the frames to f_t: temporal blocks with dilations 1, 2, 4, ..., then a Dense.

    Attributes:
      channels: width of each block (HA2G: 300 four times).
      size: d, output size (HA2G: 32).
      taps: kernel size (HA2G: 2). Frame t sees 1 + 2·(taps - 1)·(2^blocks - 1) frames, itself the last.
      dropout: rate inside the blocks (HA2G: 0.3); needs a "dropout" key when training.
    """

    channels: tuple[int, ...] = (300, 300, 300, 300)
    size: int = 32
    taps: int = 2
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, words_BTD: Float[Array, "batch frame word"], train: bool
    ) -> Float[Array, "batch frame size"]:
        """Causal: padding behind a clip cannot change its frames."""
        x = words_BTD.astype(self.dtype)
        for i, features in enumerate(self.channels):
            block = TemporalBlock(features, self.taps, 2**i, self.dropout, self.dtype, name=f"block{i}")
            x = block(x, train)
        return nn.Dense(self.size, dtype=self.dtype, name="decoder")(x)

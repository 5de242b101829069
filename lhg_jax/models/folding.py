"""Narrow feature maps in full vector registers: frequencies folded into channels. Weights and values stay.

TPUs keep the last axis on 128 lanes. A map [B, T, F, C] of 32 channels leaves three quarters of them empty,
in memory as in the matrix units. Folded r times it is [B, T, F/r, r C]: channel p C + c of group g is channel
c of frequency g r + p. A convolution reads and writes it with the same kernel, spread over r times as many
inputs and outputs with zeros in between: r times the products, in the time of those that were left empty.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from lhg_jax.features import Size

FoldedMap = Float[Array, "batch time group folded"]


def folds(lanes: int, frequencies: Size, channels: int) -> int:
    """How often a map has to be folded to fill the lanes, as far as that leaves no rest: a power of 2."""
    r = 1
    while isinstance(frequencies, int) and 2 * r * channels <= lanes and frequencies % (2 * r) == 0:
        r *= 2
    return r


def refold(x: FoldedMap, now: int, then: int) -> Float[Array, "batch time group2 folded2"]:
    """A map folded `now` times, folded `then` times."""
    if now == then:
        return x
    size = x.shape[-1] * then // now
    return x.reshape(*x.shape[:2], x.shape[2] * now // then, size)


class FoldedConv(nn.Module):
    """`nn.Conv` over time and frequency, with its parameters, on folded maps.

    Attributes:
      features: output channels, unfolded.
      kernel_size, use_bias, dtype, kernel_init: as in `nn.Conv`; an odd number of frequency taps.
      strides: of time and frequency.
      padding: (before, after) in time; in frequency as many zeros as keep the length.
      fold: of the output; the input is folded `strides[1]` times as often.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int]
    fold: int
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: Any = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: FoldedMap) -> Float[Array, "batch time2 group2 folded2"]:
        """The map of the output."""
        stride, taps = self.strides[1], self.kernel_size[1]
        inputs = x.shape[-1] // (stride * self.fold)
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, inputs, self.features))
        before, after, places = taps_of(taps, stride, self.fold)
        y = lax.conv_general_dilated(
            x.astype(self.dtype),
            spread(kernel, places).astype(self.dtype),
            (self.strides[0], 1),
            (self.padding, (before, after)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if self.use_bias:
            bias_C = self.param("bias", nn.initializers.zeros, (self.features,))
            y += jnp.tile(bias_C, self.fold).astype(self.dtype)[None, None, None]
        return y


class FoldedDense(nn.Module):
    """`nn.Dense` without bias over every `stride`-th frequency, with its parameter, on folded maps.

    Attributes:
      features: output channels, unfolded.
      stride: of frequency; the input is folded so many times as often as the output.
      fold: of the output.
    """

    features: int
    stride: int
    fold: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: FoldedMap) -> Float[Array, "batch time2 group2 folded2"]:
        """The map of the output."""
        inputs = x.shape[-1] // (self.stride * self.fold)
        kernel = self.param("kernel", nn.linear.default_kernel_init, (inputs, self.features))
        _, _, places = taps_of(1, self.stride, self.fold)
        return x.astype(self.dtype) @ spread(kernel[None, None], places)[0, 0].astype(self.dtype)


def taps_of(taps: int, stride: int, fold: int) -> tuple[int, int, Float[np.ndarray, "group p q tap"]]:
    """Where the taps of a kernel along frequency come to lie between folded maps.

    Output q of a group sees frequency stride q + tap - taps // 2 of the input, from the group's first on.

    Returns:
      Groups of zeros before and after; 1 where input p of a group and output q meet by a tap, else 0.
    """
    inputs = stride * fold
    seen = stride * np.arange(fold)[:, None] + np.arange(taps)[None] - taps // 2
    first, last = int(seen.min()) // inputs, int(seen.max()) // inputs
    group, place = seen // inputs - first, seen % inputs
    q, tap = np.indices(seen.shape)
    places = np.zeros((last - first + 1, inputs, fold, taps), np.float32)
    places[group, place, q, tap] = 1
    return -first, last, places


def spread(
    kernel: Float[Array, "time tap input output"], places: Float[np.ndarray, "group p q tap"]
) -> Float[Array, "time group folded_input folded_output"]:
    """The kernel between folded maps: each number once for every output of a group, zeros elsewhere."""
    wide = jnp.einsum("gpqk,tkio->tgpiqo", places, kernel, precision=lax.Precision.HIGHEST)
    time, group, p, i, q, o = wide.shape
    return wide.reshape(time, group, p * i, q * o)

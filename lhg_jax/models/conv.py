"""Convolution over [B, T, F, C] whose kernel gradient is fast on CPUs too.

There XLA's own takes 2 to 5 times as long as its forward pass (tools/bench/train_step.py). A matrix product
over stacked patches does not, if the patches are made a few rows of time at a time: all at once they are nine
times the input, and fresh memory then costs more than the product itself.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# Patches in memory at a time, in bytes: about what a core's caches hold.
PATCH_BYTES = 2**21
LAYOUT = ("NHWC", "HWIO", "NHWC")

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


class Conv(nn.Module):
    """`nn.Conv` over [B, T, F, C], parameters and all, by `conv`.

    Attributes:
      features: output channels.
      taps, strides, padding: see `conv`.
      use_bias: add one number to each output channel.
    """

    features: int
    taps: Pair
    padding: Padding
    strides: Pair = (1, 1)
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x_BTFC: Float[Array, "batch time freq channel"]
    ) -> Float[Array, "batch time2 freq2 features"]:
        """Convolves in `dtype`."""
        shape = (*self.taps, x_BTFC.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = conv(x_BTFC.astype(self.dtype), kernel.astype(self.dtype), self.strides, self.padding)
        if self.use_bias:
            bias_D = self.param("bias", nn.initializers.zeros, (self.features,))
            y += bias_D.astype(self.dtype)[None, None, None]
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv(
    x_BTFC: Float[Array, "batch time freq channel"],
    kernel: Float[Array, "taps_time taps_freq channel features"],
    strides: Pair,
    padding: Padding,
) -> Float[Array, "batch time2 freq2 features"]:
    """`lax.conv_general_dilated` without dilation or groups; reverse-mode derivatives only.

    Args:
      x_BTFC: Input, of the kernel's float type.
      kernel: Taps along time and frequency, each >= 1.
      strides: Of time and frequency, each >= 1.
      padding: Zeros (in front, behind) of time and of frequency, each >= 0.
    """
    return _plain(x_BTFC, kernel, strides, padding)


def _plain(x_BTFC: Array, kernel: Array, strides: Pair, padding: Padding) -> Array:
    return lax.conv_general_dilated(x_BTFC, kernel, strides, padding, dimension_numbers=LAYOUT)


def _forward(x_BTFC: Array, kernel: Array, strides: Pair, padding: Padding):
    return conv(x_BTFC, kernel, strides, padding), (x_BTFC, kernel)


def _backward(strides: Pair, padding: Padding, residuals: tuple[Array, Array], dy_BTFD: Array):
    x_BTFC, kernel = residuals
    # Linear in each: `vjp` would also trace the forward pass, which `training.flops` would count.
    (dx_BTFC,) = jax.linear_transpose(lambda x: _plain(x, kernel, strides, padding), x_BTFC)(dy_BTFD)

    def by_xla(x_BTFC, dy_BTFD):
        return jax.linear_transpose(lambda k: _plain(x_BTFC, k, strides, padding), kernel)(dy_BTFD)[0]

    taps = (kernel.shape[0], kernel.shape[1])
    by_patches = functools.partial(kernel_gradient, taps=taps, strides=strides, padding=padding)
    return dx_BTFC, lax.platform_dependent(x_BTFC, dy_BTFD, cpu=by_patches, default=by_xla)


conv.defvjp(_forward, _backward)


def kernel_gradient(
    x_BTFC: Float[Array, "batch time freq channel"],
    dy_BTFD: Float[Array, "batch time2 freq2 features"],
    *,
    taps: Pair,
    strides: Pair,
    padding: Padding,
) -> Float[Array, "taps_time taps_freq channel features"]:
    """d kernel[i, j] = sum over b, t, f of x[b, s t + i - p, s f + j - p]^T dy[b, t, f], by chunks of rows t.

    Chunks run along time, so a batch sharded over devices stays sharded. Sums are float32 at least.
    """
    B, T, F, D = dy_BTFD.shape
    (H, W), C = taps, x_BTFC.shape[-1]
    per_row = B * F * H * W * C * x_BTFC.dtype.itemsize
    count = -(-T // max(PATCH_BYTES // per_row, 1))
    rows = -(-T // count)
    span = (rows - 1) * strides[0] + H  # time steps of x that `rows` rows of dy look at
    # Rows of dy beyond T are zeros, and x is as long as they need.
    behind = max((count - 1) * rows * strides[0] + span - x_BTFC.shape[1] - padding[0][0], 0)
    x_BTFC = jnp.pad(x_BTFC, ((0, 0), (padding[0][0], behind), padding[1], (0, 0)))
    dy_BTFD = jnp.pad(dy_BTFD, ((0, 0), (0, count * rows - T), (0, 0), (0, 0)))

    sums = np.promote_types(x_BTFC.dtype, np.float32)

    def add_chunk(k, dkernel):
        x = lax.dynamic_slice_in_dim(x_BTFC, k * rows * strides[0], span, axis=1)
        dy = lax.dynamic_slice_in_dim(dy_BTFD, k * rows, rows, axis=1)
        patches = jnp.concatenate(
            [_strided(x, (i, j), (rows, F), strides) for i in range(H) for j in range(W)], -1
        )
        return dkernel + jnp.einsum("btfc,btfd->cd", patches, dy, preferred_element_type=sums)

    dkernel = lax.fori_loop(0, count, add_chunk, jnp.zeros((H * W * C, D), sums))
    return dkernel.reshape(H, W, C, D).astype(x_BTFC.dtype)


def _strided(x_BTFC: Array, start: Pair, size: Pair, strides: Pair) -> Array:
    """`size` steps of time and frequency from `start`, `strides` apart."""
    ends = [first + (n - 1) * s + 1 for first, n, s in zip(start, size, strides, strict=True)]
    return x_BTFC[:, start[0] : ends[0] : strides[0], start[1] : ends[1] : strides[1]]

"""Squeeze-and-excitation residual blocks on padded batches (Hu et al. 2018; HA2G's ResNetSE34).

Layout [B, T, F, C]: time first, then frequency, so that a spectrogram [B, T, F] needs no transpose. Features
beyond the end of a clip are zero at every layer, which is what the clip alone would see of its convolutions'
border; averages and batch statistics run over valid positions only. So padding changes nothing.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lhg_jax.models import stream
from lhg_jax.models.conv import Convolution, convolve
from lhg_jax.models.folding import FoldedConv, FoldedDense

TORCH_MOMENTUM = 0.1  # weight of the new batch in the running statistics
TORCH_EPSILON = 1e-5
# One of so many time steps gives a first mean. The mean of an eighth of all positions is at most sqrt(7)
# standard deviations from that of all, so sums about it lose a digit at most.
SAMPLED = 8


Mask = Bool[Array, "batch time"] | None  # None: every step counts, as in a stream


def time_mean(x_BTC: Float[Array, "batch time channel"], mask_BT: Mask) -> Float[Array, "batch 1 channel"]:
    """Mean over the valid time steps, float32."""
    mask_BT = jnp.ones(x_BTC.shape[:2], bool) if mask_BT is None else mask_BT
    weights_BT1 = mask_BT[..., None].astype(jnp.float32)
    total_B1C = jnp.sum(x_BTC.astype(jnp.float32) * weights_BT1, axis=1, keepdims=True)
    return total_B1C / jnp.maximum(jnp.sum(weights_BT1, axis=1, keepdims=True), 1.0)


class BatchNorm(nn.Module):
    """Batch normalisation over the valid positions of [B, T, ..., C], with PyTorch's conventions.

    Normalises by the biased variance; the running variance takes the unbiased one. Statistics are float32 and
    global over a sharded batch. Padded positions come out as zero.

    Attributes:
      fold: how often frequency is folded into the last axis (models/folding.py).
    """

    fold: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time *rest"], mask_BT: Mask, train: bool
    ) -> Float[Array, "batch time *rest"]:
        """`train` normalises by the batch and updates `batch_stats` where that collection is mutable."""
        size = x.shape[-1] // self.fold
        scale_C = self.param("scale", nn.initializers.ones, (size,))
        bias_C = self.param("bias", nn.initializers.zeros, (size,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (size,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (size,))
        mask_BT = jnp.ones(x.shape[:2], bool) if mask_BT is None else mask_BT
        mask = mask_BT.reshape(mask_BT.shape + (1,) * (x.ndim - 2))
        mean_C, rest_C, var_C = jnp.asarray(running_mean.value), jnp.zeros(size), running_var.value
        if train:
            if x.dtype != jnp.bfloat16:  # to whose precision the running mean is near enough
                some = slice(None), slice(None, None, SAMPLED)
                mean_C += jax.lax.stop_gradient(_moments(x[some], mask[some], mean_C, self.fold)[0])
            rest_C, var_C, count = _moments(x, mask, mean_C, self.fold)
            if not self.is_initializing() and self.is_mutable_collection("batch_stats"):
                unbiased_C = var_C * count / jnp.maximum(count - 1.0, 1.0)
                present = jnp.where(count > 0, TORCH_MOMENTUM, 0.0)
                running_mean.value += present * (mean_C + rest_C - running_mean.value)
                running_var.value += present * (unbiased_C - running_var.value)
        gain_C = scale_C * jax.lax.rsqrt(var_C + TORCH_EPSILON)
        mean, gain, bias = (
            _to_rank(x_C, x.ndim, self.fold) for x_C in (mean_C, gain_C, bias_C - rest_C * gain_C)
        )
        y = (x.astype(jnp.float32) - mean) * gain + bias
        return jnp.where(mask, y, 0.0).astype(x.dtype)


def _to_rank(x_C: Any, ndim: int, fold: int) -> Array:
    x_C = jnp.asarray(x_C) if fold == 1 else jnp.tile(x_C, fold)
    return x_C.reshape((1,) * (ndim - 1) + x_C.shape)


def _moments(
    x: Float[Array, "..."], mask: Bool[Array, "..."], near_C: Float[Array, "channel"], fold: int
) -> tuple[Array, Array, Array]:
    """Moments of each channel over valid positions, float32.

    Args:
      x, mask, fold: as in `BatchNorm`.
      near_C: constants, if possible near the means. Then the variance is no small difference of large
        numbers, though both sums are taken in one pass, and sent in one collective.

    Returns:
      Mean less `near_C`; biased variance; number of positions. Gradients flow through the first two, by sums
      of one pass.
    """

    def total(x: Array) -> Array:
        total_C = jnp.sum(x, tuple(range(x.ndim - 1)))
        return total_C if fold == 1 else total_C.reshape(fold, -1).sum(0)

    count = jnp.sum(mask, dtype=jnp.float32) * (fold * x.size // (mask.size * x.shape[-1]))
    divisor = jnp.maximum(count, 1.0)
    x = jnp.where(mask, x.astype(jnp.float32) - _to_rank(near_C, x.ndim, fold), 0.0)
    rest_C, square_C = total(x) / divisor, total(jnp.square(x)) / divisor
    return rest_C, jnp.maximum(square_C - jnp.square(rest_C), 0.0), count


class SqueezeExcite(nn.Module):
    """Scales channels by a gate computed from their mean over frequency and time.

    Attributes:
      reduction: channels for each hidden unit of the gate.
      memory: time steps that the mean looks back on (`stream.fading_mean`); None: over the whole clip.
      fold: how often frequency is folded into the channels (models/folding.py).
    """

    reduction: int = 8
    memory: float | None = None
    dtype: Any = jnp.float32
    fold: int = 1

    @nn.compact
    def __call__(
        self, x_BTFC: Float[Array, "batch time freq channel"], mask_BT: Mask
    ) -> Float[Array, "batch time freq channel"]:
        """Gate = sigmoid(W2 relu(W1 mean)), hidden size C / reduction (at least 1)."""
        size = x_BTFC.shape[-1] // self.fold
        mean_BTC = jnp.mean(x_BTFC, axis=2, dtype=jnp.float32)
        if self.fold > 1:
            mean_BTC = mean_BTC.reshape(*mean_BTC.shape[:2], self.fold, size).mean(2)
        if self.memory is None:
            mean_BTC = time_mean(mean_BTC, mask_BT)
        else:
            mean_BTC = stream.fading_mean(self, mean_BTC, mask_BT, self.memory)
        hidden = nn.relu(nn.Dense(max(size // self.reduction, 1), name="squeeze")(mean_BTC))
        gate_BTC = nn.sigmoid(nn.Dense(size, name="excite")(hidden))
        gate_BTC = gate_BTC if self.fold == 1 else jnp.tile(gate_BTC, self.fold)
        return x_BTFC * gate_BTC[:, :, None].astype(x_BTFC.dtype)


class SEBlock(nn.Module):
    """Residual block of HA2G: conv, ReLU, BN, conv, BN, SE, + shortcut, ReLU (ReLU *before* the first BN).

    Attributes:
      features: output channels.
      stride: of both axes; the mask is subsampled with the features.
      kernel: (time, frequency) taps; (3, 1) makes a block along time only.
      shortcut: project the input by a strided 1x1 convolution and BN instead of passing it on.
      memory: output steps that SE looks back on, and no step sees a later one; None: sees the whole clip.
      fold_in, fold: how often frequency is folded into the channels of input and output (models/folding.py):
        1 and 1, or the input `stride` times as often.
    """

    features: int
    stride: int = 1
    kernel: tuple[int, int] = (3, 3)
    shortcut: bool = False
    memory: float | None = None
    dtype: Any = jnp.float32
    fold_in: int = 1
    fold: int = 1

    @nn.compact
    def __call__(
        self, x_BTFC: Float[Array, "batch time freq channel"], mask_BT: Mask, train: bool
    ) -> tuple[Float[Array, "batch time2 freq2 features"], Bool[Array, "batch time2"] | None]:
        """Returns features and mask, both at ceil(size / stride)."""
        norm = functools.partial(BatchNorm, fold=self.fold)
        mask_out_BT = None if mask_BT is None else mask_BT[:, :: self.stride]
        x_BTFC, y = self._convolve(x_BTFC, self.stride, "conv1")
        y = norm(name="bn1")(nn.relu(y), mask_out_BT, train)
        _, y = self._convolve(y, 1, "conv2")
        y = norm(name="bn2")(y, mask_out_BT, train)
        y = SqueezeExcite(memory=self.memory, dtype=self.dtype, fold=self.fold, name="se")(y, mask_out_BT)
        if self.shortcut:
            x_BTFC = norm(name="downsample_bn")(self._project(x_BTFC), mask_out_BT, train)
        return nn.relu(x_BTFC + y), mask_out_BT

    def _project(self, x: Array) -> Array:
        """The shortcut's strided 1x1 convolution; the time steps are chosen."""
        if self.fold_in > 1:
            return FoldedDense(self.features, self.stride, self.fold, self.dtype, name="downsample_conv")(x)
        project = nn.Dense(self.features, use_bias=False, dtype=self.dtype, name="downsample_conv")
        return convolve(project, x[:, :, :: self.stride])

    def _convolve(self, x: Array, stride: int, name: str) -> tuple[Array, Array]:
        """x at the time steps that the outputs stand at, and the outputs of a convolution without bias."""
        taps, width = self.kernel[0], self.kernel[1] // 2
        causal = self.memory is not None
        padding = (0, 0) if causal else (taps // 2, taps // 2)
        shape = (self.features, self.kernel, (stride, stride))
        own = {"use_bias": False, "dtype": self.dtype, "kernel_init": nn.initializers.he_normal()}
        conv: Convolution
        if self.fold_in > 1 and stride * self.fold > 1:
            conv = FoldedConv(*shape, padding, self.fold, name=name, **own)
        else:
            conv = nn.Conv(*shape, (padding, (width, width)), name=name, **own)
        if not causal:
            return x[:, ::stride], convolve(conv, x)
        x = stream.with_past(self, f"{name}_past", x, taps, stride=stride)
        return x[:, taps - 1 :: stride], convolve(conv, x)

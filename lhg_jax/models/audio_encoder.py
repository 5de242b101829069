"""Hierarchical audio encoder: ResNetSE34 with a low, a mid and a high level output per motion frame.

HA2G (Liu et al., CVPR 2022), module by module, so that its official weights load (models/ha2g.py).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lhg_jax.models import stream
from lhg_jax.models.conv import Convolution, convolve
from lhg_jax.models.folding import FoldedConv, folds, refold
from lhg_jax.models.resnet_se import BatchNorm, Mask, SEBlock

STRIDES = (1, 2, 2, 2)
MEL_RATE = 60.0  # log-mel steps/s
LEVELS = ("low", "mid", "high")
SHUFFLE = {"low": 1, "mid": 2, "high": 4}  # upsampling of stages 2, 3, 4 to one step a motion frame
HEAD_TAPS = {"low": 2, "mid": 3, "high": 3}

LevelArrays = tuple[Array, Array, Array]


def pixel_shuffle(
    x_BTFC: Float[Array, "batch time freq channel"], r: int
) -> Float[Array, "batch time2 freq2 channel2"]:
    """PyTorch's order: channel c·r² + i·r + j goes to channel c, frequency offset i, time offset j."""
    B, T, F, C = x_BTFC.shape
    x = x_BTFC.reshape(B, T, F, C // r**2, r, r)
    return x.transpose(0, 1, 5, 2, 4, 3).reshape(B, T * r, F * r, C // r**2)


class LevelHead(nn.Module):
    """Pixel shuffle, valid convolution, ReLU, BN, Dense over frequency x channel: [B, T', size]."""

    level: str
    size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x_BTFC: Float[Array, "batch time freq channel"], mask_BT: Mask, train: bool
    ) -> Float[Array, "batch frames size"]:
        """The mask follows the features: repeated by the shuffle, shortened by the valid convolution."""
        r, taps = SHUFFLE[self.level], HEAD_TAPS[self.level]
        x = stream.with_past(self, "past", pixel_shuffle(x_BTFC, r), taps, zeros=0)
        mask_BT = None if mask_BT is None else jnp.repeat(mask_BT, r, axis=1)[:, taps - 1 :]
        conv = nn.Conv(x.shape[-1], (taps, taps), padding="VALID", dtype=self.dtype, name="conv")
        x = BatchNorm(name="bn")(nn.relu(convolve(conv, x)), mask_BT, train)
        return nn.Dense(self.size, dtype=self.dtype, name="fc")(
            x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
        )


class AudioEncoder(nn.Module):
    """Log-mel steps to three feature sequences, one step a motion frame.

    M steps give T' = M/2 - 1 frames at every level when T' mod 4 = 2 (features.mel_steps); other M give
    levels of different lengths, as in the original.

    Attributes:
      filters: channels of the four stages (HA2G: 32, 64, 128, 256); the last two are multiples of 4 and 16.
      depths: blocks of each stage (HA2G: 3, 4, 6, 3).
      size: d, output size of each level (HA2G: 32).
      memory_s: seconds that the SE blocks look back on; frame t then sees mel steps up to 2t + 4 (one frame
        ahead). None: the encoder sees the whole clip.
      lanes: channels that narrow maps are folded to (models/folding.py), which changes no value; 0: none are.
    """

    filters: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    size: int = 32
    memory_s: float | None = None
    dtype: Any = jnp.float32
    lanes: int = 0

    @nn.compact
    def __call__(
        self,
        log_mel_BMF: Float[Array, "batch steps mel"],
        mask_BM: Mask,
        train: bool,
    ) -> LevelArrays:
        """Returns (low, mid, high), each [B, T', size]; steps outside the mask are not read."""
        x = log_mel_BMF if mask_BM is None else jnp.where(mask_BM[..., None], log_mel_BMF, 0.0)
        x = x[..., None].astype(self.dtype)
        causal, rate = self.memory_s is not None, MEL_RATE
        if causal:
            x = stream.with_past(self, "past", x, 3)
        fold = folds(self.lanes, x.shape[2], self.filters[0])
        conv1 = self._first((0, 0) if causal else (1, 1), fold)
        x = nn.relu(convolve(conv1, refold(x, 1, fold)))
        x, mask_BT = BatchNorm(fold=fold, name="bn1")(x, mask_BM, train), mask_BM
        sources = []
        for stage, (features, depth, stride) in enumerate(
            zip(self.filters, self.depths, STRIDES, strict=True), 1
        ):
            rate /= stride
            x, fold_in, fold = self._refolded(x, fold, stride, features)
            for i in range(depth):
                block = SEBlock(
                    features,
                    stride=stride if i == 0 else 1,
                    shortcut=i == 0 and stage > 1,
                    memory=None if self.memory_s is None else self.memory_s * rate,
                    dtype=self.dtype,
                    fold_in=fold if i else fold_in,
                    fold=fold,
                    name=f"layer{stage}_{i}",
                )
                x, mask_BT = block(x, mask_BT, train)
            sources.append((refold(x, fold, 1), mask_BT))
        heads = [LevelHead(level, self.size, self.dtype, name=level) for level in LEVELS]
        low, mid, high = (head(*source, train) for head, source in zip(heads, sources[1:], strict=True))
        return low, mid, high

    def _first(self, padding: tuple[int, int], fold: int) -> Convolution:
        shape = (self.filters[0], (3, 3))
        if fold > 1:
            return FoldedConv(*shape, (1, 1), padding, fold, dtype=self.dtype, name="conv1")
        return nn.Conv(*shape, padding=(padding, (1, 1)), dtype=self.dtype, name="conv1")

    def _refolded(self, x: Array, fold: int, stride: int, features: int) -> tuple[Array, int, int]:
        """A stage's input as its first block takes it, and the folds of that and of the stage's outputs."""
        frequencies = x.shape[2] * fold
        if frequencies % stride:
            return refold(x, fold, 1), 1, 1
        own = folds(self.lanes, frequencies // stride, features)
        fold_in = stride * own if max(fold, own) > 1 else 1
        return refold(x, fold, fold_in), fold_in, own

"""Fusion of what is heard, said and seen of the speaker (paper section 4): A-FFM and f_XM."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lhg_jax.models.resnet_se import Mask, SEBlock


class AudioFusion(nn.Module):
    """f_{A-FFM}: concatenated audio, text and MFCC features through SE residual blocks along time to A^AE.

    Attributes:
      size: width of A^AE.
      blocks: number of SE blocks, two convolutions each.
      taps: frames that each convolution spans, odd.
      memory: see SEBlock.
    """

    size: int
    blocks: int
    taps: int = 3
    memory: float | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        parts: list[Float[Array, "batch frame _"]],
        mask_BT: Mask,
        train: bool,
    ) -> Float[Array, "batch frame size"]:
        """Frames outside the mask are not read and come out as zero."""
        x = jnp.concatenate([part.astype(self.dtype) for part in parts], axis=-1)
        x = nn.Dense(self.size, dtype=self.dtype, name="mix")(x)
        x = (x if mask_BT is None else jnp.where(mask_BT[..., None], x, 0.0))[:, :, None]
        kernel = (self.taps, 1)
        for i in range(self.blocks):
            block = SEBlock(self.size, kernel=kernel, memory=self.memory, dtype=self.dtype, name=f"block{i}")
            x, _ = block(x, mask_BT, train)
        return x[:, :, 0]


class CrossModalFusion(nn.Module):
    """f_XM(beta, p, A^AE) -> e: joins the speaker's motion, or a learned vector where nobody is seen.

    The motion also passes by the nonlinear layers: mirroring is linear in it, and a norm over what is heard
    and seen together would hide its size.
    """

    size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        motion_BTC: Float[Array, "batch frame coeff"],
        seen_BT: Bool[Array, "batch frame"],
        audio_BTD: Float[Array, "batch frame audio"],
    ) -> Float[Array, "batch frame size"]:
        """`motion_BTC` is normalised; not read where `seen_BT` is False."""
        seen_BT1 = seen_BT[..., None]
        shown_BTD = nn.Dense(self.size, dtype=self.dtype, name="motion")(motion_BTC)
        absent_D = self.param("absent", nn.initializers.normal(1.0), (self.size,)).astype(self.dtype)
        shown_BTD = jnp.where(seen_BT1, shown_BTD, absent_D[None, None])
        joint = jnp.concatenate([nn.relu(shown_BTD), audio_BTD.astype(self.dtype)], axis=-1)
        e_BTD = nn.relu(nn.Dense(self.size, dtype=self.dtype, name="join")(joint))
        e_BTD = nn.LayerNorm(dtype=jnp.float32, name="norm")(e_BTD.astype(jnp.float32)).astype(self.dtype)
        past_BTD = nn.Dense(self.size, use_bias=False, dtype=self.dtype, name="past")(motion_BTC)
        return e_BTD + jnp.where(seen_BT1, past_BTD, 0.0)

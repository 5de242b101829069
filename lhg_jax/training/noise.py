"""Noise on coefficients, drawn on the devices in the step: the same in any space and for any model."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from lhg_jax.config import AugmentConfig
from lhg_jax.contract import Batch

AddNoise = Callable[[Batch, Float[Array, "coeff"], PRNGKeyArray], Batch]


def no_noise(batch: Batch, std_C: Float[Array, "coeff"], key: PRNGKeyArray) -> Batch:
    """The batch as it is."""
    return batch


def make_noise(config: AugmentConfig) -> AddNoise:
    """Adds Gaussian noise in units of each coefficient's deviation `std_C` over the training set.

    `coefficient_noise` reaches what the model sees (the speaker's motion and the listener's frame 0),
    `label_noise` what its output is compared with (frames 1 and later). Frames in which the one
    or the other is not seen stay as they are.
    """
    if not (config.label_noise or config.coefficient_noise):
        return no_noise

    def add_noise(batch: Batch, std_C: Float[Array, "coeff"], key: PRNGKeyArray) -> Batch:
        features, listener_BTC = batch.features, batch.listener_motion
        speaker, label = jax.random.split(key)
        seen_BT1 = features.speaker_seen[..., None]
        spread_11C = std_C[None, None]
        normal_BTC = jax.random.normal(speaker, features.speaker_motion.shape)
        noise_BTC = config.coefficient_noise * spread_11C * normal_BTC
        speaker_BTC = features.speaker_motion + jnp.where(seen_BT1, noise_BTC, 0.0)
        size_T = jnp.full(listener_BTC.shape[1], config.label_noise).at[0].set(config.coefficient_noise)
        noise_BTC = size_T[None, :, None] * spread_11C * jax.random.normal(label, listener_BTC.shape)
        listener_BTC = listener_BTC + jnp.where(batch.listener_seen[..., None], noise_BTC, 0.0)
        return dataclasses.replace(
            batch, features=features.replace(speaker_motion=speaker_BTC), listener_motion=listener_BTC
        )

    return add_noise

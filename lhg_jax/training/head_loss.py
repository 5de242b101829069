"""Flow matching on chunks of residuals: batches of chunks, and the loss."""

from collections.abc import Iterator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from lhg_jax.config import HeadConfig
from lhg_jax.contract import LossSums
from lhg_jax.models.chunks import to_components, to_innovation
from lhg_jax.models.flow_head import AnyArray, ChunkInputs, FlowHead, FlowHeadConfig
from lhg_jax.styles import ATTITUDES, TRAITS
from lhg_jax.training.step import LossFn
from lhg_jax.training.trunk_features import TrunkFeatures


class ChunkBatch(flax.struct.PyTreeNode):
    """B chunks in coefficients (C) of the trunk's change and of the true residual.

    Attributes:
      state: [B, c, S] float16.
      mean: [B, H + c, C] the trunk's change from the clip's first frame; zeros before the clip.
      residual: [B, H + c, C] true minus mean; zeros before the clip.
      known: [B, H] bool, frames of the history that are in the clip and seen.
      seen: [B] bool, the true listener was seen in all of the chunk, and in the frames it is forecast from.
      style: [B, CODE_SIZE].
    """

    state: Any
    mean: Any
    residual: Any
    known: Any
    seen: Any
    style: Any


class ChunkStream:
    """Endless batches of chunks from anywhere in the clips; batch n depends on the seed and n alone."""

    def __init__(self, features: TrunkFeatures, config: FlowHeadConfig, *, batch_size: int, seed: int):
        self._features, self._memory = features, config.memory
        self._chunk, self._history = config.chunk, config.history
        self._batch_size, self._seed, self._next = batch_size, seed, 0
        # A chunk may begin at any frame but a clip's first, and has to end within its clip.
        places = np.diff(features.starts) - self._chunk
        self._ends = np.cumsum(np.maximum(places, 0))

    def get_state(self) -> dict[str, int]:
        """The place in the stream, for a checkpoint."""
        return {"next_batch": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues where a stream of the same seed and batch size was."""
        self._next = state["next_batch"]

    def __iter__(self) -> Iterator[ChunkBatch]:
        return self

    def __next__(self) -> ChunkBatch:
        rng = np.random.default_rng([self._seed, self._next])
        self._next += 1
        numbers = rng.integers(self._ends[-1], size=self._batch_size)
        clips = np.searchsorted(self._ends, numbers, side="right")
        begins = 1 + numbers - np.concatenate([[0], self._ends])[clips]
        return self.cut(clips, begins)

    def cut(self, clips: np.ndarray, begins: np.ndarray) -> ChunkBatch:
        """Chunks that begin at these frames of these clips."""
        data, first = self._features, self._features.starts[clips]
        offsets = np.arange(-self._history, self._chunk)[None] + begins[:, None]
        inside = offsets >= 0
        rows = first[:, None] + np.maximum(offsets, 0)
        mean = data.mean[rows]
        residual = data.target[rows] - mean
        change = mean - data.mean[first][:, None]
        return ChunkBatch(
            state=data.state[rows[:, self._history :]],
            mean=np.where(inside[..., None], change, np.float32(0)),
            residual=np.where(inside[..., None], residual, np.float32(0)),
            known=(inside & data.seen[rows])[:, : self._history],
            seen=(data.seen[rows] | ~inside)[:, self._history - self._memory - 1 :].all(axis=1),
            style=data.codes[clips],
        )


def make_head_loss(
    head: FlowHead, constants: dict[str, Any], importance: Float[Any, "innovation"], config: HeadConfig
) -> LossFn:
    """The loss of one batch of chunks: squared error of the velocity, weighted by `importance`.

    Without weights a nod, which is one innovation of 48, hardly counts.
    """

    def loss_fn(params, batch_stats, batch: ChunkBatch, key: PRNGKeyArray):
        keys = jax.random.split(key, 4)
        variables = {"params": params, "constants": constants}
        inputs, residual_BcK = chunk_inputs(head, variables, batch)
        target_BZ = to_innovation(head.config, variables, inputs, residual_BcK)
        inputs = spoil(inputs, keys[0], config)
        noise_BZ = jax.random.normal(keys[1], target_BZ.shape)
        tau_B = jax.nn.sigmoid(jax.random.normal(keys[2], target_BZ.shape[:1]))  # Esser et al. 2024
        hears_B = jax.random.bernoulli(keys[3], 1 - config.drop_speaker, tau_B.shape)
        x_BZ = (1 - tau_B[:, None]) * noise_BZ + tau_B[:, None] * target_BZ
        condition: Any = head.apply(variables, inputs, hears_B, method="condition")
        velocity_BZ: Any = head.apply(variables, condition, x_BZ, tau_B, method="velocity")
        log_BZ: Any = head.apply(variables, condition, method="log_variance")
        errors = {
            "velocity": jnp.square(velocity_BZ - (target_BZ - noise_BZ)),
            "likelihood": (jnp.square(target_BZ) * jnp.exp(-log_BZ) + log_BZ) / 2,
        }
        counts_B = batch.seen.astype(jnp.float32) * target_BZ.shape[1]
        terms = {
            name: LossSums(jnp.where(batch.seen, (x * importance[None]).sum(1), 0.0), counts_B)
            for name, x in errors.items()
        }
        sums_B = terms["velocity"].sums + config.likelihood_weight * terms["likelihood"].sums
        return jax.tree.map(jnp.sum, (LossSums(sums_B, counts_B, terms),)), batch_stats

    return loss_fn


def chunk_inputs(
    head: FlowHead, variables: dict[str, Any], batch: ChunkBatch
) -> tuple[ChunkInputs, Float[AnyArray, "batch chunk component"]]:
    """What the head sees of a batch, and the residuals that it should draw, in components."""
    mean_BTK = to_components(variables, batch.mean)
    residual_BTK = to_components(variables, batch.residual)
    h = head.config.history
    past_BHK = jnp.concatenate([residual_BTK[:, :h], mean_BTK[:, :h]], axis=-1)
    state = batch.state.astype(jnp.float32)
    return ChunkInputs(state, mean_BTK[:, h:], past_BHK, batch.known, batch.style), residual_BTK[:, h:]


def spoil(inputs: ChunkInputs, key: PRNGKeyArray, config: HeadConfig) -> ChunkInputs:
    """Sometimes nothing is known of the past, which is only forecast from, and less or no style."""
    past_key, style_key, trait_key = jax.random.split(key, 3)
    batch = len(inputs.style)
    keep = jax.random.bernoulli(past_key, 1 - config.drop_history, (batch, 1))
    every = jax.random.bernoulli(style_key, 1 - config.drop_style, (batch, 1))
    each = jax.random.bernoulli(trait_key, 1 - config.drop_style, (batch, len(TRAITS) + 1)) & every
    kept = jnp.concatenate(
        [each[:, :-1], each[:, :-1], jnp.repeat(each[:, -1:], len(ATTITUDES), axis=1)], axis=1
    )
    return inputs.replace(known=inputs.known & keep, style=jnp.where(kept, inputs.style, 0.0))

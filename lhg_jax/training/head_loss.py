"""Flow matching on chunks of residuals: components, batches of chunks, and the loss."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from lhg_jax.config import HeadConfig
from lhg_jax.contract import LossSums
from lhg_jax.models.flow_head import AnyArray, ChunkInputs, FlowHead, correlated_noise, to_components
from lhg_jax.styles import ATTITUDES, TRAITS
from lhg_jax.training.step import LossFn
from lhg_jax.training.trunk_features import TrunkFeatures

LEAST_SCALE = 0.1  # of a component, as a share of the largest one's: what hardly moves is not blown up
FIT_FRAMES = 100_000  # enough for the components, evenly spread over the set


class ChunkBatch(flax.struct.PyTreeNode):
    """B chunks in coefficients (C) of the trunk's change and of the true residual.

    Attributes:
      state: [B, c, S] float16.
      mean: [B, H + c, C] the trunk's change from the clip's first frame; zeros before the clip.
      residual: [B, H + c, C] true minus mean; zeros before the clip.
      known: [B, H] bool, frames of the history that are in the clip and seen.
      seen: [B, c] bool, frames of the chunk in which the true listener was seen.
      style: [B, CODE_SIZE].
    """

    state: Any
    mean: Any
    residual: Any
    known: Any
    seen: Any
    style: Any


class Components(NamedTuple):
    """Principal components of residuals in units of `unit`: what `flow_head.with_components` takes.

    Attributes:
      basis: orthonormal columns.
      scale: size of each component.
      unit: size of each coefficient.
      largest: in units of `scale`, exceeded in one frame of a thousand.
    """

    basis: Float[np.ndarray, "coeff component"]
    scale: Float[np.ndarray, "component"]
    unit: Float[np.ndarray, "coeff"]
    largest: Float[np.ndarray, "component"]


def principal_components(
    features: TrunkFeatures, unit: Float[np.ndarray, "coeff"], count: int
) -> tuple[Components, float]:
    """The components of a training set's residuals, and their share of the variance."""
    step = -(-len(features.mean) // FIT_FRAMES)
    rows = (features.target[::step] - features.mean[::step]).astype(np.float64) / unit
    eigenvalues, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    largest = np.maximum(eigenvalues[::-1][:count], 1e-12)
    scale = np.maximum(np.sqrt(largest), LEAST_SCALE * np.sqrt(largest[0]))
    basis = vectors[:, ::-1][:, :count]
    extreme = np.quantile(np.abs(rows @ basis / scale), 0.999, axis=0)
    share = float(largest.sum() / np.maximum(eigenvalues.sum(), 1e-12))
    return Components(basis, scale, unit, extreme), share


class ChunkStream:
    """Endless batches of chunks from anywhere in the clips; batch n depends on the seed and n alone."""

    def __init__(self, features: TrunkFeatures, *, chunk: int, history: int, batch_size: int, seed: int):
        self._features, self._chunk, self._history = features, chunk, history
        self._batch_size, self._seed, self._next = batch_size, seed, 0
        # A chunk may begin at any frame but a clip's first, and has to end within its clip.
        places = np.diff(features.starts) - chunk
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
            seen=data.seen[rows[:, self._history :]],
            style=data.codes[clips],
        )


def make_head_loss(head: FlowHead, constants: dict[str, Any], config: HeadConfig) -> LossFn:
    """The loss of one batch of chunks: squared error of the velocity and of its change along the chunk."""

    def loss_fn(params, batch_stats, batch: ChunkBatch, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        variables = {"params": params, "constants": constants}
        inputs, target_BcK = chunk_inputs(head, variables, batch)
        inputs = spoil(inputs, keys[0], config)
        size, (_, frames, components) = len(batch.style), target_BcK.shape
        first_BK = jax.random.normal(keys[1], (size, components))
        fresh_BcK = jax.random.normal(keys[2], (size, frames, components))
        noise_BcK = correlated_noise(fresh_BcK, first_BK, head.config.noise_correlation)
        tau_B = jax.nn.sigmoid(jax.random.normal(keys[3], (size,)))  # logit-normal, Esser et al. 2024
        hears_B = jax.random.bernoulli(keys[4], 1 - config.drop_speaker, (size,))
        mixed = tau_B[:, None, None]
        x_BcK = (1 - mixed) * noise_BcK + mixed * target_BcK
        velocity_BcK: Any = head.apply(variables, inputs, x_BcK, tau_B, hears_B)
        error_BcK = velocity_BcK - (target_BcK - noise_BcK)
        error_BcK = jnp.where(batch.seen[..., None], error_BcK, 0.0)
        # The frame before the chunk is given: there the error is zero.
        change_BcK = jnp.diff(error_BcK, axis=1, prepend=0.0)
        counts_B = jnp.full(size, float(frames * components))
        terms = {
            name: LossSums(jnp.square(part_BcK).sum((1, 2)), counts_B)
            for name, part_BcK in (("velocity", error_BcK), ("change", change_BcK))
        }
        sums_B = terms["velocity"].sums + config.change_weight * terms["change"].sums
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
    """Noise on the past, which at run time is the head's own; sometimes no past, and less or no style."""
    noise_key, past_key, style_key, trait_key = jax.random.split(key, 4)
    k = inputs.mean.shape[-1]
    batch = len(inputs.style)
    noise = config.history_noise * jax.random.normal(noise_key, (*inputs.past.shape[:2], k))
    past = inputs.past.at[..., :k].add(noise)
    keep = jax.random.bernoulli(past_key, 1 - config.drop_history, (batch, 1))
    every = jax.random.bernoulli(style_key, 1 - config.drop_style, (batch, 1))
    each = jax.random.bernoulli(trait_key, 1 - config.drop_style, (batch, len(TRAITS) + 1)) & every
    kept = jnp.concatenate(
        [each[:, :-1], each[:, :-1], jnp.repeat(each[:, -1:], len(ATTITUDES), axis=1)], axis=1
    )
    return inputs.replace(past=past, known=inputs.known & keep, style=jnp.where(kept, inputs.style, 0.0))

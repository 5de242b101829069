"""Samples of a listener: the trunk's mean window by window, then the flow head's residuals along the clip."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lhg_jax.contract import InferenceSpec, SpeakerFeatures
from lhg_jax.models import chunks
from lhg_jax.models.flow_head import AnyArray, FlowHead, FlowHeadConfig
from lhg_jax.styles import ListenerStyle, draw_style
from lhg_jax.windowed_inference import generate

BLOCK = 30  # chunks that one call of the compiled sampler draws
STATE = "gru"  # the trunk's recurrent stack, whose output is the state that the head sees


@dataclasses.dataclass(frozen=True)
class ListenerHead:
    """What a listener file holds besides the trunk.

    Attributes:
      head: the module.
      variables: its parameters and constants.
      styles: [N, CODE_SIZE] styles of training clips, from which a seed draws.
    """

    head: FlowHead
    variables: Mapping[str, Any]
    styles: Float[np.ndarray, "styles code"]

    @functools.cached_property
    def draw_block(self) -> Callable:
        """`draw_block` compiled for this head."""
        variables = jax.device_put(self.variables)
        return functools.partial(jax.jit(functools.partial(draw_block, self.head)), variables)


@dataclasses.dataclass(frozen=True)
class Draw:
    """Which listener is drawn.

    Attributes:
      seed: decides everything that is random: the listener's style and what they happen to do.
      temperature: 0 is the mean listener, which draws nothing; 1 as varied as the training set.
      style: of the listener; None: drawn by the seed.
      factors: on traits: above 1 on those of the style (`ListenerStyle.with_more`), below on what was drawn
        (`fading`).
      attitude: in place of the drawn one.
    """

    seed: int = 0
    temperature: float = 1.0
    style: ListenerStyle | None = None
    factors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    attitude: str | None = None

    def drawn_style(self, table: Float[np.ndarray, "styles code"]) -> ListenerStyle:
        """The style with factors and attitude."""
        style = self.style or draw_style(table, np.random.default_rng([self.seed, 1]), self.temperature)
        style = style.with_more(self.factors)
        return dataclasses.replace(style, attitude=self.attitude or style.attitude)


@dataclasses.dataclass(frozen=True)
class TrunkOutput:
    """The trunk on one clip.

    Attributes:
      motion: [T, C] the mean listener; row 0 is the first frame.
      state: [T, S] recurrent state that each row came from; row 0 is zero.
    """

    motion: Float[np.ndarray, "frames coeff"]
    state: Float[np.ndarray, "frames state"]


def run_trunk(
    apply: Callable,
    features: SpeakerFeatures,
    first_frame: Float[np.ndarray, "coeff"],
    spec: InferenceSpec,
    on_window: Callable[[], None] = lambda: None,
) -> TrunkOutput:
    """Mean and state window by window; both are blended alike where windows overlap.

    Args:
      apply: of `stateful`.
      features, first_frame, spec, on_window: as `windowed_inference.generate` takes them.
    """
    coeff = len(first_frame)
    size = jax.eval_shape(apply, *_one(features, first_frame, spec)).shape[-1]

    def predict(window: SpeakerFeatures, first: np.ndarray) -> np.ndarray:
        batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], window)
        return np.array(apply(batch, first[None, :coeff])[0])

    start = np.concatenate([first_frame, np.zeros(size - coeff)]).astype(np.float32)
    both = generate(predict, features, start, spec, on_window=on_window)
    return TrunkOutput(both[:, :coeff], both[:, coeff:])


def _one(features: SpeakerFeatures, first_frame: np.ndarray, spec: InferenceSpec) -> tuple:
    from lhg_jax.features import crop_features

    window = crop_features(features, 0, spec.window, spec.max_words)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], window), first_frame[None]


def stateful(model: nn.Module) -> Callable:
    """(variables, features, first frame) -> [B, T, C + S]: motion and recurrent state, not compiled."""

    def apply(variables, features, first_BC):
        output, kept = model.apply(
            variables,
            features,
            first_BC,
            train=False,
            capture_intermediates=lambda module, _: module.name == STATE,
            mutable=["intermediates"],
        )
        (y_BTS, _), *_ = kept["intermediates"]["decoder"][STATE]["__call__"]
        frames = output.motion.shape[1]
        delay = y_BTS.shape[1] - frames  # of a causal trunk that looks ahead
        state_BTS = jnp.pad(y_BTS[:, delay : delay + frames - 1], ((0, 0), (1, 0), (0, 0)))
        return jnp.concatenate([output.motion, state_BTS.astype(jnp.float32)], axis=-1)

    return apply


def draw_block(
    head: FlowHead,
    variables: Mapping[str, Any],
    memory: chunks.Memory,
    state_BNcS: Float[AnyArray, "batch chunks chunk state"],
    change_BNcC: Float[AnyArray, "batch chunks chunk coeff"],
    style_BD: Float[AnyArray, "batch style"],
    noise_BNZ: Float[AnyArray, "batch chunks innovation"],
) -> tuple[chunks.Memory, Float[AnyArray, "batch chunks chunk coeff"]]:
    """Residuals (coefficients) of some chunks one after the other."""
    mean_BNcK = chunks.to_components(variables, change_BNcC)

    def step(memory, inputs):
        state, mean, noise = inputs
        return chunks.draw_chunk(head, variables, memory, state, mean, style_BD, noise)

    by_chunk = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (state_BNcS, mean_BNcK, noise_BNZ))
    memory, drawn_NBcK = jax.lax.scan(step, memory, by_chunk)
    return memory, chunks.to_change(variables, jnp.swapaxes(drawn_NBcK, 0, 1))


def draw_motion(
    own: ListenerHead, trunk: TrunkOutput, styles: list[ListenerStyle], seeds: list[int], temperature: float
) -> Float[np.ndarray, "samples frames coeff"]:
    """One motion for each style and seed, of one clip. Row 0 of each is the trunk's."""
    c, frames = own.head.config, len(trunk.motion)
    blocks = -(-(frames - 1) // (c.chunk * BLOCK))
    padded = blocks * BLOCK * c.chunk
    batch = len(seeds)
    noise = np.stack([temperature * _normal(seed, blocks * BLOCK, c) for seed in seeds])
    memory = chunks.begin(c, batch)
    code = np.stack([style.code() for style in styles])
    state, change = (_pad(x[1:], padded) for x in (trunk.state, trunk.motion - trunk.motion[:1]))
    drawn = [np.zeros((batch, 0, trunk.motion.shape[1]), np.float32)]
    for start in range(0, padded, BLOCK * c.chunk):
        part = slice(start, start + BLOCK * c.chunk)
        shape = (batch, BLOCK, c.chunk, -1)
        memory, residual = own.draw_block(
            memory,
            np.broadcast_to(state[part], (batch, BLOCK * c.chunk, state.shape[-1])).reshape(shape),
            np.broadcast_to(change[part], (batch, BLOCK * c.chunk, change.shape[-1])).reshape(shape),
            code,
            noise[:, start // c.chunk :][:, :BLOCK],
        )
        drawn.append(np.asarray(residual).reshape(batch, BLOCK * c.chunk, -1))
    residuals = np.concatenate(drawn, axis=1)[:, : frames - 1]
    motion = np.repeat(trunk.motion[None], batch, axis=0)
    motion[:, 1:] += residuals
    return motion


def _normal(seed: int, count: int, c: FlowHeadConfig) -> Float[np.ndarray, "chunks innovation"]:
    return np.random.default_rng([seed, 0]).standard_normal((count, c.innovations), np.float32)


def _pad(rows: Float[np.ndarray, "frames size"], frames: int) -> Float[np.ndarray, "padded size"]:
    """The last row goes on to the end of the block; what is drawn there is cut off."""
    if not len(rows):
        return np.zeros((frames, rows.shape[-1]), np.float32)
    return np.pad(rows, ((0, frames - len(rows)), (0, 0)), mode="edge")

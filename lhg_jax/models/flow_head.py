"""Flow-matching head: samples what a deterministic listener leaves out, a chunk of frames at a time.

The trunk (models/listener.py) predicts the mean of many reactions. Its residuals r = (y - mean) / sigma, as
principal components, are what this head draws: flow matching (Lipman et al. 2023) from noise to r, given the
trunk's recurrent state and mean in the chunk, the frames before it and a style (`styles.py`).

    x_tau = (1 - tau) noise + tau r,    v(x_tau, tau) -> r - noise,    dx / dtau = v from 0 to 1 gives r

The noise is AR(1) along time, and can be carried over chunks (`noise_carry`).
Guidance (Ho & Salimans 2022): v = v_deaf + guidance (v_hearing - v_deaf), where the deaf one sees no speaker.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.styles import CODE_SIZE

AnyArray = jax.Array | np.ndarray

TIME_WAVES = 16  # of the embedding of tau
STATE_SIZE = 48  # what is kept of the trunk's state in a frame


@dataclasses.dataclass(frozen=True)
class FlowHeadConfig:
    """Sizes of the head and settings of its sampler.

    Attributes:
      coeff: coefficients of a frame, `CoefficientSpace.size`; >= 1.
      state: size of the trunk's recurrent state (both directions together); >= 1.
      components: principal components of the residuals that are drawn; in [1, coeff].
      chunk: frames drawn at once, 2 (live) to 6; >= 1.
      history: frames before the chunk that the head sees; >= 1.
      width: of all layers; >= 8.
      blocks: residual blocks of the velocity network; >= 1.
      noise_correlation: of the noise of neighbouring frames of a chunk, in [0, 1).
      noise_carry: of the noise that a chunk starts from with the last one's end, in [0, 1]. In training a
        chunk's noise is independent of its past: carried over, it makes slow movements too large.
      steps: midpoint steps from noise to a chunk, of two evaluations each; >= 1.
      guidance: weight of what is heard, >= 0; 1 is no guidance and half the work.
    """

    coeff: int = 70
    state: int = 256
    components: int = 20
    chunk: int = 6
    history: int = 36
    width: int = 160
    blocks: int = 3
    noise_correlation: float = 0.9
    noise_carry: float = 0.5
    steps: int = 8
    guidance: float = 1.0

    def __post_init__(self):
        if not 1 <= self.components <= self.coeff:
            raise ValueError(f"components={self.components} is not in [1, coeff={self.coeff}]")
        if not 0 <= self.noise_correlation < 1:
            raise ValueError(f"noise_correlation={self.noise_correlation} is not in [0, 1)")


class ChunkInputs(flax.struct.PyTreeNode):
    """What is known when a chunk of c frames is drawn; K components, H frames of history.

    Attributes:
      state: [B, c, S] recurrent state of the trunk that its mean of the frame came from.
      mean: [B, c, K] the trunk's motion as a change from the first frame, in components.
      past: [B, H, 2K] residuals, then means, of the frames before the chunk; zeros where there are none.
      known: [B, H] bool, frames of the past that there are.
      style: [B, CODE_SIZE] of `styles.ListenerStyle.code`.
    """

    state: Any
    mean: Any
    past: Any
    known: Any
    style: Any


class Memory(flax.struct.PyTreeNode):
    """What one chunk leaves to the next: `past` and `known` of `ChunkInputs`, and the last frame's noise."""

    past: Any
    known: Any
    noise: Any


class FlowHead(nn.Module):
    """The velocity network; its constants lead from coefficients to components and back (`to_components`)."""

    config: FlowHeadConfig

    def setup(self):
        """Declares layers and constants (see `with_components`)."""
        c = self.config
        self.variable("constants", "analysis", jnp.zeros, (c.coeff, c.components))
        self.variable("constants", "synthesis", jnp.zeros, (c.components, c.coeff))
        self.variable("constants", "largest", jnp.zeros, (c.components,))
        self.hear = nn.Dense(STATE_SIZE)
        self.from_speaker, self.from_past, self.from_style = (nn.Dense(c.width) for _ in range(3))
        self.deaf = self.param("deaf", nn.initializers.normal(1.0), (c.width,))
        self.mix, self.from_time, self.into = (nn.Dense(c.width) for _ in range(3))
        self.layers = [Modulated(c.width) for _ in range(c.blocks)]
        self.out = nn.Dense(c.chunk * c.components, kernel_init=nn.initializers.zeros)

    def __call__(
        self,
        inputs: ChunkInputs,
        x_BcK: Float[AnyArray, "batch chunk component"],
        tau_B: Float[AnyArray, "batch"],
        hears_B: Bool[AnyArray, "batch"],
    ) -> Float[AnyArray, "batch chunk component"]:
        """The velocity at `x_BcK`; where `hears_B` is False the speaker is unknown."""
        return self.velocity(self.condition(inputs, hears_B), x_BcK, tau_B)

    def condition(
        self, inputs: ChunkInputs, hears_B: Bool[AnyArray, "batch"]
    ) -> Float[AnyArray, "batch width"]:
        """All that does not depend on the flow's time."""
        batch = len(inputs.style)
        heard = [nn.silu(self.hear(inputs.state)).reshape(batch, -1), inputs.mean.reshape(batch, -1)]
        speaker_BW = self.from_speaker(jnp.concatenate(heard, axis=-1))
        known_BH = inputs.known.astype(jnp.float32)
        past = [(inputs.past * known_BH[..., None]).reshape(batch, -1), known_BH]
        sum_BW = jnp.where(hears_B[:, None], speaker_BW, self.deaf[None])
        sum_BW += self.from_past(jnp.concatenate(past, axis=-1)) + self.from_style(inputs.style)
        return self.mix(nn.silu(sum_BW))

    def velocity(
        self,
        condition_BW: Float[AnyArray, "batch width"],
        x_BcK: Float[AnyArray, "batch chunk component"],
        tau_B: Float[AnyArray, "batch"],
    ) -> Float[AnyArray, "batch chunk component"]:
        """The velocity network for a given condition."""
        waves = tau_B[:, None] * (jnp.pi * jnp.exp2(jnp.arange(TIME_WAVES // 2, dtype=jnp.float32)))[None]
        time_BW = self.from_time(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=-1))
        signal_BW = nn.silu(condition_BW + time_BW)
        h_BW = self.into(x_BcK.reshape(len(x_BcK), -1))
        for layer in self.layers:
            h_BW = layer(h_BW, signal_BW)
        return self.out(h_BW).reshape(x_BcK.shape)


class Modulated(nn.Module):
    """A residual block whose norm is scaled and shifted, and whose result is gated, by a signal (adaLN)."""

    width: int

    @nn.compact
    def __call__(
        self, h_BW: Float[AnyArray, "batch width"], signal_BW: Float[AnyArray, "batch width"]
    ) -> Float[AnyArray, "batch width"]:
        """Peebles & Xie 2023; the gate starts at zero, so that the block starts as nothing."""
        adapt = nn.Dense(3 * self.width, kernel_init=nn.initializers.zeros, name="adapt")(signal_BW)
        scale, shift, gate = jnp.split(adapt, 3, axis=-1)
        x = nn.LayerNorm(use_bias=False, use_scale=False, name="norm")(h_BW) * (1 + scale) + shift
        x = nn.Dense(2 * self.width, name="widen")(x)
        return h_BW + gate * nn.Dense(self.width, name="narrow")(nn.silu(x))


def with_components(
    variables: Mapping[str, Any],
    basis: Float[Any, "coeff component"],
    scale: Float[Any, "component"],
    unit: Float[Any, "coeff"],
    largest: Float[Any, "component"],
) -> dict[str, Any]:
    """A copy of a head's variables with its components.

    Args:
      variables: of `FlowHead`.
      basis: orthonormal columns, in the space of change / `unit`.
      scale: size of each component in the training set.
      unit: size of each coefficient.
      largest: of each component / `scale`: what no draw leaves, so that an hour of chunks cannot drift off.
    """
    constants = {
        "analysis": jnp.asarray(basis / unit[:, None] / scale, jnp.float32),
        "synthesis": jnp.asarray((basis * scale).T * unit, jnp.float32),
        "largest": jnp.asarray(largest, jnp.float32),
    }
    return {**variables, "constants": constants}


def to_components(
    variables: Mapping[str, Any], change: Float[AnyArray, "*batch coeff"]
) -> Float[AnyArray, "*batch component"]:
    """Differences of coefficients as components."""
    return change @ variables["constants"]["analysis"]


def to_change(
    variables: Mapping[str, Any], components: Float[AnyArray, "*batch component"]
) -> Float[AnyArray, "*batch coeff"]:
    """Components as differences of coefficients."""
    return components @ variables["constants"]["synthesis"]


def example_inputs(config: FlowHeadConfig) -> tuple[Any, ...]:
    """Arguments of `FlowHead.__call__`, for shapes."""
    x = jnp.zeros((1, config.chunk, config.components))
    inputs = ChunkInputs(
        state=jnp.zeros((1, config.chunk, config.state)),
        mean=x,
        past=jnp.zeros((1, config.history, 2 * config.components)),
        known=jnp.zeros((1, config.history), bool),
        style=jnp.zeros((1, CODE_SIZE)),
    )
    return inputs, x, jnp.zeros(1), jnp.ones(1, bool)


def correlated_noise(
    fresh_BcK: Float[AnyArray, "batch chunk component"],
    last_BK: Float[AnyArray, "batch component"],
    correlation: float,
) -> Float[AnyArray, "batch chunk component"]:
    """AR(1) noise of variance 1 that goes on from `last_BK`, out of independent noise."""
    frames = []
    for t in range(fresh_BcK.shape[1]):
        last_BK = correlation * last_BK + (1 - correlation**2) ** 0.5 * fresh_BcK[:, t]
        frames.append(last_BK)
    return jnp.stack(frames, axis=1)


def begin(config: FlowHeadConfig, noise_BK: Float[AnyArray, "batch component"]) -> Memory:
    """The memory before frame 1: nothing but the portrait is known, whose residual is zero."""
    batch, k = noise_BK.shape
    known = jnp.zeros((batch, config.history), bool).at[:, -1].set(True)
    return Memory(jnp.zeros((batch, config.history, 2 * k)), known, noise_BK)


def draw_chunk(
    head: FlowHead,
    variables: Mapping[str, Any],
    memory: Memory,
    state_BcS: Float[AnyArray, "batch chunk state"],
    mean_BcK: Float[AnyArray, "batch chunk component"],
    style_BD: Float[AnyArray, "batch style"],
    fresh_BnK: Float[AnyArray, "batch chunk_and_start component"],
    temperature: Float[AnyArray, ""],
) -> tuple[Memory, Float[AnyArray, "batch chunk component"]]:
    """One chunk of residuals; the same function for a whole clip and for a live listener.

    Args:
      memory: of `begin`, or of the chunk before.
      mean_BcK: the trunk's change from the first frame, in components.
      fresh_BnK: independent standard normal numbers, c + 1 frames.
      temperature: factor on the noise.
    """
    c = head.config
    start_BK = c.noise_carry * memory.noise + (1 - c.noise_carry**2) ** 0.5 * fresh_BnK[:, 0]
    noise_BcK = correlated_noise(fresh_BnK[:, 1:], start_BK, c.noise_correlation)
    inputs = ChunkInputs(state_BcS, mean_BcK, memory.past, memory.known, style_BD)
    largest = variables["constants"]["largest"][None, None]
    drawn_BcK = jnp.clip(flow(head, variables, inputs, temperature * noise_BcK), -largest, largest)
    new = jnp.concatenate([drawn_BcK, mean_BcK], axis=-1)
    past = jnp.concatenate([memory.past, new], axis=1)[:, -c.history :]
    known = jnp.concatenate([memory.known, jnp.ones(new.shape[:2], bool)], axis=1)[:, -c.history :]
    return Memory(past, known, noise_BcK[:, -1]), drawn_BcK


def flow(
    head: FlowHead,
    variables: Mapping[str, Any],
    inputs: ChunkInputs,
    x_BcK: Float[AnyArray, "batch chunk component"],
) -> Float[AnyArray, "batch chunk component"]:
    """From noise to residuals by midpoint steps; with guidance, hearing and deaf rows go through together.

    Euler steps shrink what is drawn: with 24 of them the demo's expression had 15 % less variance.
    """
    c, batch = head.config, len(x_BcK)
    guided = c.guidance != 1
    hears = jnp.arange(batch * (2 if guided else 1)) < batch
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), inputs) if guided else inputs
    condition = head.apply(variables, twice, hears, method="condition")

    def velocity(x_BcK, tau: float):
        x = jnp.concatenate([x_BcK, x_BcK]) if guided else x_BcK
        v: Any = head.apply(variables, condition, x, jnp.full(hears.shape, tau), method="velocity")
        return v[batch:] + c.guidance * (v[:batch] - v[batch:]) if guided else v

    for step in range(c.steps):
        middle_BcK = x_BcK + velocity(x_BcK, step / c.steps) / (2 * c.steps)
        x_BcK = x_BcK + velocity(middle_BcK, (step + 0.5) / c.steps) / c.steps
    return x_BcK

"""Chunks of residuals: what the frames before a chunk say of it, and what is drawn by a flow head.

A chunk is the last frame, plus a linear forecast from how mean and residuals have changed, plus
an innovation. Innovations are decorrelated and of size 1 before the head sees them (`whiten`), so that an
error of the network is small where movements are small: drawn as they are, residuals trembled between
reactions, three times as fast as people move (docs/design.md).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Float

from lhg_jax.models.flow_head import AnyArray, ChunkInputs, FlowHead, FlowHeadConfig

Variables = Mapping[str, Any]


class Constants(NamedTuple):
    """What a flow head is given: K components of C coefficients, chunks of c frames, Z innovations.

    Attributes:
      analysis: [C, K] from differences of coefficients to components of size 1.
      synthesis: [K, C] back.
      largest: [K] what no draw leaves, so that an hour of chunks cannot drift off.
      pace: [2K] usual change of residuals and means from frame to frame.
      forecast: [F, cK] from `approach` to what a chunk's residuals are above the last frame's.
      whiten: [cK, Z] from what is new in a chunk to its Z largest parts, uncorrelated and of size 1.
      colour: [Z, cK] back.
    """

    analysis: Any
    synthesis: Any
    largest: Any
    pace: Any
    forecast: Any
    whiten: Any
    colour: Any


class Memory(flax.struct.PyTreeNode):
    """What one chunk leaves to the next: `past` and `known` of `ChunkInputs`."""

    past: Any
    known: Any


def to_components(
    variables: Variables, change: Float[AnyArray, "*batch coeff"]
) -> Float[AnyArray, "*batch component"]:
    """Differences of coefficients as components."""
    return change @ variables["constants"]["analysis"]


def to_change(
    variables: Variables, components: Float[AnyArray, "*batch component"]
) -> Float[AnyArray, "*batch coeff"]:
    """Components as differences of coefficients."""
    return components @ variables["constants"]["synthesis"]


def approach(
    past_BHP: Float[AnyArray, "batch history past"],
    mean_BcK: Float[AnyArray, "batch chunk component"],
    memory: int,
) -> Float[AnyArray, "batch approach"]:
    """What a chunk is forecast from: the last frame, the changes that led to it, and the mean's changes next.

    Args:
      past_BHP: as `ChunkInputs.past`.
      mean_BcK: as `ChunkInputs.mean`.
      memory: how many changes.
    """
    k, batch = mean_BcK.shape[-1], len(past_BHP)
    before = jnp.diff(past_BHP[:, -memory - 1 :], axis=1)
    after = jnp.diff(jnp.concatenate([past_BHP[:, -1:, k:], mean_BcK], axis=1), axis=1)
    return jnp.concatenate([past_BHP[:, -1], before.reshape(batch, -1), after.reshape(batch, -1)], axis=-1)


def forecast(
    config: FlowHeadConfig, variables: Variables, inputs: ChunkInputs
) -> Float[AnyArray, "batch chunk component"]:
    """The residuals of a chunk if nothing new happens."""
    rows = approach(inputs.past, inputs.mean, config.memory)
    rise = (rows @ variables["constants"]["forecast"]).reshape(inputs.mean.shape)
    return inputs.past[:, -1:, : config.components] + rise


def to_innovation(
    config: FlowHeadConfig,
    variables: Variables,
    inputs: ChunkInputs,
    residual_BcK: Float[AnyArray, "batch chunk component"],
) -> Float[AnyArray, "batch innovation"]:
    """What a head would have to draw for a chunk to become these residuals."""
    new = residual_BcK - forecast(config, variables, inputs)
    return new.reshape(len(new), -1) @ variables["constants"]["whiten"]


def to_residuals(
    config: FlowHeadConfig,
    variables: Variables,
    inputs: ChunkInputs,
    drawn_BZ: Float[AnyArray, "batch innovation"],
) -> Float[AnyArray, "batch chunk component"]:
    """The chunk of a drawn innovation, kept within `Constants.largest`."""
    new = (drawn_BZ @ variables["constants"]["colour"]).reshape(inputs.mean.shape)
    largest = variables["constants"]["largest"][None, None]
    return jnp.clip(forecast(config, variables, inputs) + new, -largest, largest)


def begin(config: FlowHeadConfig, batch: int) -> Memory:
    """The memory before frame 1: nothing but the portrait is known, whose residual is zero."""
    known = jnp.zeros((batch, config.history), bool).at[:, -1].set(True)
    return Memory(jnp.zeros((batch, config.history, 2 * config.components)), known)


def draw_chunk(
    head: FlowHead,
    variables: Variables,
    memory: Memory,
    state_BcS: Float[AnyArray, "batch chunk state"],
    mean_BcK: Float[AnyArray, "batch chunk component"],
    style_BD: Float[AnyArray, "batch style"],
    noise_BZ: Float[AnyArray, "batch innovation"],
) -> tuple[Memory, Float[AnyArray, "batch chunk component"]]:
    """One chunk of residuals; the same function for a whole clip and for a live listener.

    Args:
      memory: of `begin`, or of the chunk before.
      mean_BcK: the trunk's change from the first frame, in components.
      noise_BZ: independent normal numbers; their deviation is the temperature.
    """
    c = head.config
    inputs = ChunkInputs(state_BcS, mean_BcK, memory.past, memory.known, style_BD)
    drawn_BcK = to_residuals(c, variables, inputs, flow(head, variables, inputs, noise_BZ))
    new = jnp.concatenate([drawn_BcK, mean_BcK], axis=-1)
    past = jnp.concatenate([memory.past, new], axis=1)[:, -c.history :]
    known = jnp.concatenate([memory.known, jnp.ones(new.shape[:2], bool)], axis=1)[:, -c.history :]
    return Memory(past, known), drawn_BcK


def flow(
    head: FlowHead, variables: Variables, inputs: ChunkInputs, x_BZ: Float[AnyArray, "batch innovation"]
) -> Float[AnyArray, "batch innovation"]:
    """From noise to innovations by midpoint steps; with guidance, hearing and deaf rows go through together.

    Euler steps shrink what is drawn: with 24 of them the demo's expression had 15 % less variance.
    """
    c, batch = head.config, len(x_BZ)
    guided = c.guidance != 1
    hears = jnp.arange(batch * (2 if guided else 1)) < batch
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), inputs) if guided else inputs
    condition = head.apply(variables, twice, hears, method="condition")

    def velocity(x_BZ, tau):
        x = jnp.concatenate([x_BZ, x_BZ]) if guided else x_BZ
        v: Any = head.apply(variables, condition, x, jnp.full(hears.shape, tau), method="velocity")
        return v[batch:] + c.guidance * (v[:batch] - v[batch:]) if guided else v

    def step(x_BZ, tau):
        middle_BZ = x_BZ + velocity(x_BZ, tau) / (2 * c.steps)
        return x_BZ + velocity(middle_BZ, tau + 0.5 / c.steps) / c.steps, None

    return jax.lax.scan(step, x_BZ, jnp.arange(c.steps, dtype=jnp.float32) / c.steps)[0]

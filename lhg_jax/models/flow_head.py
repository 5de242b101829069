"""Flow-matching head: samples what a deterministic listener leaves out, a chunk of frames at a time.

The trunk (models/listener.py) predicts the mean of many reactions. Its residuals y - mean, as principal
components, are what is drawn. Most of a chunk of residuals follows from the frames before it; what does not,
the innovation z, is what this head draws (`chunks.py`): flow matching (Lipman et al. 2023) from noise to z,
given the trunk's recurrent state and mean in the chunk, the frames before it and a style (`styles.py`).

    x_tau = (1 - tau) noise + tau z,    v(x_tau, tau) -> z - noise,    dx / dtau = v from 0 to 1 gives z

Guidance (Ho & Salimans 2022): v = v_deaf + guidance (v_hearing - v_deaf), where the deaf one sees no speaker.
"""

import dataclasses
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
HEARD_SIZE = 12  # what is kept of all that is heard in a chunk: with more, a head knew its passages by heart


@dataclasses.dataclass(frozen=True)
class FlowHeadConfig:
    """Sizes of the head and settings of its sampler.

    Attributes:
      coeff: coefficients of a frame, `CoefficientSpace.size`; >= 1.
      state: size of the trunk's recurrent state (both directions together); >= 1.
      components: principal components of the residuals that are drawn; in [1, coeff].
      chunk: frames drawn at once, 2 (live) to 6; >= 1.
      history: frames before the chunk that the head sees; >= 2.
      memory: changes between the last frames that a chunk is forecast from; in [1, history - 1].
      innovations: numbers that are drawn for a chunk, the largest of chunk * components; the others are 0.
      width: of all layers; >= 8.
      blocks: residual blocks of the velocity network; >= 1.
      steps: midpoint steps from noise to a chunk, of two evaluations each; >= 1.
      guidance: weight of what is heard, >= 0; 1 is no guidance and half the work.
    """

    coeff: int = 70
    state: int = 256
    components: int = 20
    chunk: int = 6
    history: int = 36
    memory: int = 6
    innovations: int = 48
    width: int = 192
    blocks: int = 3
    steps: int = 24
    guidance: float = 1.0

    def __post_init__(self):
        if not 1 <= self.components <= self.coeff:
            raise ValueError(f"components={self.components} is not in [1, coeff={self.coeff}]")
        if not 1 <= self.memory < self.history:
            raise ValueError(f"memory={self.memory} is not in [1, history - 1]")
        if not 1 <= self.innovations <= self.chunk * self.components:
            raise ValueError(f"innovations={self.innovations} is not in [1, chunk * components]")


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


class FlowHead(nn.Module):
    """The velocity network, and the constants that `chunks.py` uses (`chunks.Constants`)."""

    config: FlowHeadConfig

    def setup(self):
        """Declares layers and constants."""
        c = self.config
        for name, shape in constant_shapes(c).items():
            self.variable("constants", name, jnp.zeros, shape)
        self.hear = nn.Dense(STATE_SIZE)
        self.gather, self.heard = nn.Dense(c.width), nn.Dense(HEARD_SIZE)
        self.from_speaker, self.from_past, self.from_style = (nn.Dense(c.width) for _ in range(3))
        self.deaf = self.param("deaf", nn.initializers.normal(1.0), (c.width,))
        self.mix, self.from_time, self.into = (nn.Dense(c.width) for _ in range(3))
        self.layers = [Modulated(c.width) for _ in range(c.blocks)]
        self.size, self.gain, self.out = (
            nn.Dense(c.innovations, kernel_init=nn.initializers.zeros) for _ in range(3)
        )

    def __call__(
        self,
        inputs: ChunkInputs,
        x_BZ: Float[AnyArray, "batch innovation"],
        tau_B: Float[AnyArray, "batch"],
        hears_B: Bool[AnyArray, "batch"],
    ) -> Float[AnyArray, "batch innovation"]:
        """The velocity at `x_BZ`; where `hears_B` is False the speaker is unknown."""
        return self.velocity(self.condition(inputs, hears_B), x_BZ, tau_B)

    def log_variance(
        self, condition_BW: Float[AnyArray, "batch width"]
    ) -> Float[AnyArray, "batch innovation"]:
        """Of each innovation, were they normally distributed: high where a reaction may begin."""
        return 6 * jnp.tanh(self.size(nn.silu(condition_BW)) / 6)

    def condition(
        self, inputs: ChunkInputs, hears_B: Bool[AnyArray, "batch"]
    ) -> Float[AnyArray, "batch width"]:
        """All that does not depend on the flow's time."""
        batch = len(inputs.style)
        heard = [nn.silu(self.hear(inputs.state)).reshape(batch, -1), inputs.mean.reshape(batch, -1)]
        heard_BH = jnp.tanh(self.heard(nn.silu(self.gather(jnp.concatenate(heard, axis=-1)))))
        speaker_BW = self.from_speaker(heard_BH)
        sum_BW = jnp.where(hears_B[:, None], speaker_BW, self.deaf[None])
        sum_BW += self.from_past(self.remembered(inputs)) + self.from_style(inputs.style)
        return self.mix(nn.silu(sum_BW))

    def remembered(self, inputs: ChunkInputs) -> Float[AnyArray, "batch memory"]:
        """The last frame, the changes before it in units of the usual one, and which frames there are."""
        pace: Any = self.get_variable("constants", "pace")
        known_BH = inputs.known.astype(jnp.float32)
        changes = (
            jnp.diff(inputs.past, axis=1) / pace[None, None] * (known_BH[:, 1:] * known_BH[:, :-1])[..., None]
        )
        last = inputs.past[:, -1] * known_BH[:, -1:]
        return jnp.concatenate([last, changes.reshape(len(last), -1), known_BH], axis=-1)

    def velocity(
        self,
        condition_BW: Float[AnyArray, "batch width"],
        x_BZ: Float[AnyArray, "batch innovation"],
        tau_B: Float[AnyArray, "batch"],
    ) -> Float[AnyArray, "batch innovation"]:
        """The velocity network for a given condition.

        For normally distributed innovations of the predicted variance it would be `usual` times x. The
        network adds to that, also as a factor: layers behind a norm do not know how large x is.
        """
        waves = tau_B[:, None] * (jnp.pi * jnp.exp2(jnp.arange(TIME_WAVES // 2, dtype=jnp.float32)))[None]
        time_BW = self.from_time(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=-1))
        signal_BW = nn.silu(condition_BW + time_BW)
        h_BW = self.into(x_BZ)
        for layer in self.layers:
            h_BW = layer(h_BW, signal_BW)
        tau, left = tau_B[:, None], 1 - tau_B[:, None]
        variance_BZ = jnp.exp(self.log_variance(condition_BW))
        usual_BZ = (tau * variance_BZ - left) / (jnp.square(tau) * variance_BZ + jnp.square(left))
        return (usual_BZ + self.gain(signal_BW)) * x_BZ + self.out(h_BW)


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


def constant_shapes(config: FlowHeadConfig) -> dict[str, tuple[int, ...]]:
    """Of what a head is given rather than learns; `chunks.Constants` says what each is."""
    k, numbers = config.components, config.chunk * config.components
    return {
        "analysis": (config.coeff, k),
        "synthesis": (k, config.coeff),
        "largest": (k,),
        "pace": (2 * k,),
        "forecast": (2 * k * (1 + config.memory) + numbers, numbers),
        "whiten": (numbers, config.innovations),
        "colour": (config.innovations, numbers),
    }


def example_inputs(config: FlowHeadConfig) -> tuple[Any, ...]:
    """Arguments of `FlowHead.__call__`, for shapes."""
    inputs = ChunkInputs(
        state=jnp.zeros((1, config.chunk, config.state)),
        mean=jnp.zeros((1, config.chunk, config.components)),
        past=jnp.zeros((1, config.history, 2 * config.components)),
        known=jnp.zeros((1, config.history), bool),
        style=jnp.zeros((1, CODE_SIZE)),
    )
    return inputs, jnp.zeros((1, config.innovations)), jnp.zeros(1), jnp.ones(1, bool)

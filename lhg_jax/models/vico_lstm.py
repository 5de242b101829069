"""The ViCo challenge's LSTM listener (Zhou et al., ECCV 2022): the baseline to beat."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lhg_jax.contract import AnyArray, ListenerOutput, SpeakerFeatures
from lhg_jax.models.listener import clip_lengths, mask_features
from lhg_jax.models.motion_scale import MotionScale
from lhg_jax.models.resnet_se import BatchNorm
from lhg_jax.models.rnn import LSTMStack
from lhg_jax.weights import check_tree

LAYER_NORM_EPSILON = 1e-5
DENSE = {  # ours: official
    "initial_state_0": "fusion.get_initial_state.0",
    "initial_state_2": "fusion.get_initial_state.2",
    "fusion_0": "fusion.fusion.0",
    "dynam_3dmm_fc": "dynam_3dmm_fc",
}
NORMS = ("layernorm_init", "layernorm_driven")
LSTM_PREFIX = "fusion.lstm_layers."
ANGLES, EXPRESSIONS = slice(0, 3), slice(3, 67)  # of the official columns; translation (and crop) follow


@dataclasses.dataclass(frozen=True)
class ViCoConfig:
    """Sizes of the baseline; the defaults are the official ones.

    Attributes:
      coeff: coefficients of a frame (official: 73, `DEEP3D_CROP`); >= 1.
      hidden: LSTM units; the fused input has twice as many.
      layers: LSTM layers, one direction, without bias.
      dropout: rate between layers (official: 0.1); above 0 training needs `rngs={"dropout": key}`.
    """

    coeff: int = 73
    hidden: int = 96
    layers: int = 2
    dropout: float = 0.1


class ViCoLSTM(nn.Module):
    """The official network on standardised inputs; `vico_from_torch` loads its checkpoints."""

    config: ViCoConfig

    @nn.compact
    def __call__(
        self,
        audio_BTA: Float[Array, "batch frame audio"],
        speaker_BTC: Float[Array, "batch frame coeff"],
        first_BC: Float[Array, "batch coeff"],
        lengths_B: Int[Array, "batch"],
        train: bool,
    ) -> Float[Array, "batch frame coeff"]:
        """Row t is the prediction for frame t + 1; rows from `lengths_B` on hold the output layer's bias."""
        hidden, layers = self.config.hidden, self.config.layers
        first = nn.LayerNorm(LAYER_NORM_EPSILON, name="layernorm_init")(first_BC)
        first = nn.tanh(nn.Dense(first_BC.shape[-1], name="initial_state_0")(first))
        state = nn.Dense(2 * layers * hidden, name="initial_state_2")(first)
        h0, c0 = state.reshape(-1, 2, layers, hidden).transpose(1, 2, 0, 3)
        x = jnp.concatenate([audio_BTA, speaker_BTC], axis=-1)
        x = nn.LayerNorm(LAYER_NORM_EPSILON, name="layernorm_driven")(x)
        x = nn.tanh(nn.Dense(2 * hidden, name="fusion_0")(x))
        lstm = LSTMStack(
            hidden,
            layers,
            bidirectional=False,
            use_bias=False,
            dropout=self.config.dropout,
            name="lstm_layers",
        )
        y_BTH, _ = lstm(x, lengths_B, (h0, c0), deterministic=not train)
        return nn.Dense(self.config.coeff, name="dynam_3dmm_fc")(y_BTH)


class ViCoListener(nn.Module):
    """`ViCoLSTM` behind the signature of `Listener`: hears MFCCs, has no text and no audio levels.

    MFCCs are standardised by running statistics, motion by the constants of `MotionScale`. Where the speaker
    is not seen, the mean motion (zeros after standardisation) stands in.
    """

    config: ViCoConfig

    @nn.compact
    def __call__(
        self, features: SpeakerFeatures, first_frame: Float[AnyArray, "batch coeff"], *, train: bool
    ) -> ListenerOutput:
        """See `Listener`. `text` and `levels` have size 0 and no frame is an anchor."""
        features, first_frame = mask_features(features), jnp.asarray(first_frame)
        lengths_B = clip_lengths(features.in_clip)
        mask_BT = jnp.arange(features.frames)[None] < lengths_B[:, None]
        scale = MotionScale(self.config.coeff, name="motion_scale")
        audio_BTA = BatchNorm(name="mfcc_norm")(features.mfcc, features.in_clip, train)
        motion_BTC = scale.normalise(features.speaker_motion)
        speaker_BTC = jnp.where(features.speaker_seen[..., None], motion_BTC, 0.0)
        first_BC = scale.normalise(first_frame)
        rows_BTC = ViCoLSTM(self.config, name="network")(audio_BTA, speaker_BTC, first_BC, lengths_B, train)
        predicted_BTC = jnp.concatenate([first_BC[:, None], rows_BTC[:, :-1]], axis=1)
        motion_BTC = jnp.where(mask_BT[..., None], scale.denormalise(predicted_BTC), 0.0)
        nothing = jnp.zeros((*mask_BT.shape, 0), jnp.float32)
        return ListenerOutput(
            motion=motion_BTC.at[:, 0].set(first_frame),
            text=nothing,
            levels=(nothing, nothing, nothing),
            anchors=jnp.zeros_like(mask_BT),
        )


def vico_from_torch(
    state: Mapping[str, np.ndarray], config: ViCoConfig | None = None, source: str = "ViCo weights"
) -> dict[str, Any]:
    """Parameters of `ViCoLSTM` from an official state dict (numpy arrays, with or without `module.`).

    Official coefficients begin with the angle, those of our spaces with the expression: every weight that
    meets a coefficient is moved to our order.

    Raises `UserError` naming `source` and the first keys that are missing, unknown or of the wrong shape.
    """
    state = {name.removeprefix("module."): np.asarray(array) for name, array in state.items()}
    config = config or ViCoConfig()
    fused = state["fusion.fusion.0.weight"].shape[-1] if "fusion.fusion.0.weight" in state else 0
    inputs = (1, 1, fused - config.coeff), (1, 1, config.coeff), (1, config.coeff), (1,)
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs[:3]]
    lengths = jax.ShapeDtypeStruct(inputs[3], jnp.int32)
    init = functools.partial(ViCoLSTM(config).init, train=False)
    template = jax.eval_shape(init, jax.random.key(0), *arguments, lengths)["params"]
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), template)
    check_tree(source, state, vico_to_torch(zeros))
    state = _in_order(state, our_order(config.coeff))
    params: dict[str, Any] = {"lstm_layers": {}}
    for name, official in DENSE.items():
        params[name] = {"kernel": state[f"{official}.weight"].T, "bias": state[f"{official}.bias"]}
    for name in NORMS:
        params[name] = {"scale": state[f"fusion.{name}.weight"], "bias": state[f"fusion.{name}.bias"]}
    for name in template["lstm_layers"]:
        params["lstm_layers"][name] = state[LSTM_PREFIX + name]
    return params


def vico_to_torch(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The official state dict of `ViCoLSTM` parameters (or of their gradients), in the official order."""
    state = {LSTM_PREFIX + name: np.asarray(array) for name, array in params["lstm_layers"].items()}
    for name, official in DENSE.items():
        state[f"{official}.weight"] = np.asarray(params[name]["kernel"]).T
        state[f"{official}.bias"] = np.asarray(params[name]["bias"])
    for name in NORMS:
        state[f"fusion.{name}.weight"] = np.asarray(params[name]["scale"])
        state[f"fusion.{name}.bias"] = np.asarray(params[name]["bias"])
    coeff = len(state["dynam_3dmm_fc.bias"])
    return _in_order(state, np.argsort(our_order(coeff)))


def our_order(coeff: int) -> Int[np.ndarray, "coeff"]:
    """Which official column stands in each of ours; the order of `DEEP3D_CROP` (73) and `DEEP3D` (70)."""
    columns = np.arange(coeff)
    return np.concatenate([columns[EXPRESSIONS], columns[ANGLES], columns[EXPRESSIONS.stop :]])


def _in_order(state: Mapping[str, np.ndarray], order: Int[np.ndarray, "coeff"]) -> dict[str, np.ndarray]:
    """An official state dict whose coefficients come in another order; audio stands before the driver's."""
    moved = dict(state)
    for name in ("layernorm_init.weight", "layernorm_init.bias"):
        moved[f"fusion.{name}"] = state[f"fusion.{name}"][order]
    audio = state["fusion.layernorm_driven.bias"].shape[0] - len(order)
    driven = np.concatenate([np.arange(audio), audio + order])
    for name in ("layernorm_driven.weight", "layernorm_driven.bias"):
        moved[f"fusion.{name}"] = state[f"fusion.{name}"][driven]
    moved["fusion.get_initial_state.0.weight"] = state["fusion.get_initial_state.0.weight"][:, order]
    moved["fusion.fusion.0.weight"] = state["fusion.fusion.0.weight"][:, driven]
    for name in ("weight", "bias"):
        moved[f"dynam_3dmm_fc.{name}"] = state[f"dynam_3dmm_fc.{name}"][order]
    return moved

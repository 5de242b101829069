"""Weights that a run starts from: a trained listener's, HA2G's audio encoder's."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from lhg_jax.config import TrainConfig
from lhg_jax.contract import FeatureSpec
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.models.listener import ListenerConfig
from lhg_jax.models.vico_lstm import ViCoConfig
from lhg_jax.training.sharding import state_sharding
from lhg_jax.training.state import PyTree, TrainState
from lhg_jax.util.errors import UserError
from lhg_jax.weights import check_tree, load_weights

Variables = Mapping[str, Any]  # collection -> nested arrays, or their shapes
FREE = ("dtype", "dropout")  # settings of a model that its weights do not depend on


def start_variables(config: TrainConfig, features: FeatureSpec, like: Variables) -> Variables:
    """What of the variables `like` is read from the files of `config.start`: a tree that may lack branches.

    Raises `UserError` for weights that do not fit.
    """
    assert not isinstance(config.model, FlowHeadConfig)  # training/head_stage.py's
    start, found = config.start, {}
    if start.listener:
        found = read_listener(Path(start.listener), config.model, features, like)
    if start.audio_encoder:
        audio = read_audio_encoder(Path(start.audio_encoder), config.model, like)
        found = found | {name: found.get(name, {}) | {"audio_encoder": audio[name]} for name in audio}
    return found


def read_listener(
    path: Path, config: ListenerConfig | ViCoConfig, features: FeatureSpec, like: Variables
) -> dict[str, Any]:
    """All variables of a listener, motion scale included: it is the unit of what the listener has learned.

    Raises `UserError` where the file holds another model, or one that was trained on other features.
    """
    trained = load_listener(path)
    trained.require_features(
        "this run's clips", features, "prepare clips like its own, or start from another"
    )
    if differing := _differing(trained.model.config, config):
        raise UserError(f"{path}: holds another model than this run's ({differing})")
    check_tree(path, trained.variables, like)
    return dict(trained.variables)


def read_audio_encoder(path: Path, config: ListenerConfig | ViCoConfig, like: Variables) -> dict[str, Any]:
    """Parameters and running statistics of an audio encoder out of a converted file.

    HA2G's heard 15 frames/s: at 30 its weights are a start, nothing more. Raises `UserError` where the file
    or the model has no such encoder, theirs differ in size, or the log-mel comes in another scale.
    """
    variables, _ = load_weights(path)
    if "audio" not in variables:
        command = "`python -m lhg_exporters.convert_weights`"
        raise UserError(f"{path}: not written by {command} (it has no audio encoder)")
    if not isinstance(config, ListenerConfig):
        raise UserError("start.audio_encoder: this model has no audio encoder")
    if (config.mel_offset_db, config.mel_scale_db) != (0.0, 1.0):
        raise UserError("start.audio_encoder needs model.mel_offset_db=0 and model.mel_scale_db=1")
    own = {name: like[name]["audio_encoder"] for name in ("params", "batch_stats")}
    check_tree(path, variables["audio"], own)
    return variables["audio"]


def with_variables(state: TrainState, found: Variables, mesh: Mesh) -> TrainState:
    """`state` with these branches of its variables on the mesh; parameters and their average are both set."""
    params, batch_stats, constants = (
        dict(getattr(state, name)) | _spread(found.get(name, {}), mesh)
        for name in ("params", "batch_stats", "constants")
    )
    averaged = dict(state.ema_params) | jax.tree.map(jnp.copy, {k: params[k] for k in found["params"]})
    return dataclasses.replace(
        state, params=params, ema_params=averaged, batch_stats=batch_stats, constants=constants
    )


def _differing(theirs: ListenerConfig | ViCoConfig, ours: ListenerConfig | ViCoConfig) -> str:
    """The settings in which two models differ; empty where weights move between them."""
    if type(theirs) is not type(ours):
        return f"{type(theirs).__name__} instead of {type(ours).__name__}"
    pairs = zip(dataclasses.asdict(theirs).items(), dataclasses.asdict(ours).values(), strict=True)
    return ", ".join(f"{name} {a} instead of {b}" for (name, a), b in pairs if name not in FREE and a != b)


def _spread(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays of this process on the mesh, as copies: a step gives its state's memory away."""
    copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=state_sharding(mesh, tree))
    return copy(tree)

"""Official HA2G weights <-> variables of `AudioEncoder` and `TextEncoder` (names only; no PyTorch needed).

State dicts map official names to numpy arrays (`audio_dict` and `text_dict` of a checkpoint). The table that
embeds video ids and blends the levels by them (`speaker_embedding`, `fc1`, `fc2`) belongs to the original's
training videos and is left out, both ways.
"""

import re
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from lhg_jax.features import MEL_BANDS
from lhg_jax.models.audio_encoder import LEVELS, STRIDES, AudioEncoder
from lhg_jax.models.text_encoder import TextEncoder
from lhg_jax.util.errors import UserError
from lhg_jax.weights import check_tree

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]

AUDIO_PREFIX = "feat_extractor."
VIDEO_TABLE = re.compile(r"(speaker_embedding|fc1|fc2)\.")
ALIAS = re.compile(r"(tcn\.network\.\d+)\.net\.([04])\.")  # a second name of conv1 and conv2
BATCH_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def audio_from_torch(
    state: StateDict, source: str = "HA2G audio weights"
) -> tuple[AudioEncoder, dict[str, Any]]:
    """Module and variables of an official audio encoder; sizes are read off the arrays.

    Raises `UserError` naming `source` and the first keys that are missing, unknown or of the wrong shape.
    """
    state = {name: array for name, array in state.items() if not VIDEO_TABLE.match(name)}
    module = _audio_module(state, source)
    names = {path: AUDIO_PREFIX + _audio_name(path) for path in _template(module)}
    counters = {
        name.rsplit(".", 1)[0] + ".num_batches_tracked" for name in names.values() if "running" in name
    }
    state = {name: array for name, array in state.items() if name not in counters}
    return module, _variables(state, module, names, source)


def audio_to_torch(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The official state dict of an audio encoder, without the video table."""
    flat, state = flax.traverse_util.flatten_dict(dict(variables)), {}
    for path, array in flat.items():
        name = AUDIO_PREFIX + _audio_name(path)
        state[name] = _to_torch_layout(path, np.asarray(array), flat)
        if path[-1] == "var":
            state[name.replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    return state


def text_from_torch(
    state: StateDict, source: str = "HA2G text weights"
) -> tuple[TextEncoder, dict[str, Any], np.ndarray]:
    """Module, variables and word embedding [words, 300] of an official text encoder.

    Raises `UserError` as `audio_from_torch`, and where a tensor and its second name differ.
    """
    own = {name: array for name, array in state.items() if not ALIAS.match(name)}
    for alias, array in state.items():
        name = ALIAS.sub(lambda found: f"{found[1]}.conv{1 if found[2] == '0' else 2}.", alias)
        if name in own and not np.array_equal(array, own[name]):
            raise UserError(f"{source}: {alias} and {name} should be one tensor but differ")
    embedding = own.pop("embedding.weight", None)
    if embedding is None or "decoder.weight" not in own:
        raise UserError(f"{source}: not an HA2G text encoder (no embedding.weight or no decoder.weight)")
    channels: list[tuple[int, ...]] = []
    while f"tcn.network.{len(channels)}.conv1.weight_v" in own:
        channels.append(own[f"tcn.network.{len(channels)}.conv1.weight_v"].shape)
    if not channels:
        raise UserError(f"{source}: not an HA2G text encoder (no tcn.network.0.conv1.weight_v)")
    module = TextEncoder(tuple(c[0] for c in channels), len(own["decoder.weight"]), channels[0][2])
    names = {path: _text_name(path) for path in _template(module, embedding.shape[1])}
    return module, _variables(own, module, names, source, embedding.shape[1]), embedding


def text_to_torch(variables: Mapping[str, Any], embedding: np.ndarray) -> dict[str, np.ndarray]:
    """The official state dict of a text encoder, second names included."""
    state = {"embedding.weight": np.asarray(embedding)}
    flat = flax.traverse_util.flatten_dict(dict(variables))
    for path, array in flat.items():
        name = _text_name(path)
        state[name] = _to_torch_layout(path, np.asarray(array), flat)
        if found := re.match(r"(tcn\.network\.\d+)\.conv([12])\.(.*)", name):
            state[f"{found[1]}.net.{0 if found[2] == '1' else 4}.{found[3]}"] = state[name]
    return state


def _audio_module(state: StateDict, source: str) -> AudioEncoder:
    """The encoder that these arrays belong to."""
    stages = range(1, len(STRIDES) + 1)
    try:
        filters = tuple(len(state[f"{AUDIO_PREFIX}layer{s}.0.conv1.weight"]) for s in stages)
        size = len(state[f"{AUDIO_PREFIX}fc_low.weight"])
    except KeyError as error:
        raise UserError(f"{source}: not an HA2G audio encoder (no {error.args[0]})") from None
    blocks = [{name.split(".")[2] for name in state if f".layer{s}." in f".{name}"} for s in stages]
    depths = tuple(len(names) for names in blocks)
    return AudioEncoder(filters, depths, size)


def _template(module: AudioEncoder | TextEncoder, words: int = 1) -> dict[Path, jax.ShapeDtypeStruct]:
    """Shapes of all variables by path; `words` is the size of a word vector."""
    if isinstance(module, AudioEncoder):
        inputs: tuple = (jnp.zeros((1, 6, MEL_BANDS)), jnp.ones((1, 6), bool))
    else:
        inputs = (jnp.zeros((1, 1, words)),)
    shapes = jax.eval_shape(lambda key: module.init(key, *inputs, train=False), jax.random.key(0))
    return flax.traverse_util.flatten_dict(shapes)


def _variables(
    state: StateDict, module: AudioEncoder | TextEncoder, names: dict[Path, str], source: str, words: int = 1
) -> dict[str, Any]:
    """Variables from a state dict whose keys should be exactly the values of `names`."""
    template = _template(module, words)
    torch_template = {
        name: np.broadcast_to(np.float32(0), _torch_shape(path, template)) for path, name in names.items()
    }
    check_tree(source, state, torch_template)
    flat = {path: _from_torch_layout(path, np.asarray(state[name]), template) for path, name in names.items()}
    return flax.traverse_util.unflatten_dict(flat)


def _audio_name(path: Path) -> str:
    """('params', 'layer2_0', 'downsample_bn', 'scale') -> 'layer2.0.downsample.1.weight', for example."""
    *modules, leaf = path[1:]
    if modules[0] in LEVELS:  # ('low', 'conv') -> 'conv_low'
        modules = [f"{modules[1]}_{modules[0]}"]
    renamed = {
        "squeeze": "fc.0",
        "excite": "fc.2",
        "downsample_conv": "downsample.0",
        "downsample_bn": "downsample.1",
    }
    modules = [renamed.get(name, re.sub(r"^(layer\d)_", r"\1.", name)) for name in modules]
    is_norm = "bn" in path[-2]
    return ".".join([*modules, BATCH_NORM[leaf] if is_norm else leaf.replace("kernel", "weight")])


def _text_name(path: Path) -> str:
    """('params', 'block1', 'conv2', 'v') -> 'tcn.network.1.conv2.weight_v', for example."""
    *modules, leaf = path[1:]
    leaf = {"kernel": "weight", "v": "weight_v", "g": "weight_g"}.get(leaf, leaf)
    return ".".join([re.sub(r"^block", "tcn.network.", modules[0]), *modules[1:], leaf])


def _is_head_dense(path: Path) -> bool:
    return path[1] in LEVELS and path[2:] == ("fc", "kernel")


def _to_torch_layout(path: Path, array: np.ndarray, variables: Mapping[Path, Any]) -> np.ndarray:
    """Our [time, freq, in, out] and [in, out] to [out, in, freq, time] and [out, in]."""
    if _is_head_dense(path):  # rows run over (freq, channel) with us, over (channel, freq) there
        channels = variables[(*path[:2], "conv", "bias")].shape[0]
        array = array.reshape(-1, channels, array.shape[-1])
        return np.ascontiguousarray(array.transpose(2, 1, 0)).reshape(array.shape[-1], -1)
    if path[-2:] == ("downsample_conv", "kernel"):
        return np.ascontiguousarray(array.T)[:, :, None, None]
    if path[-2:] == ("downsample", "kernel"):
        return np.ascontiguousarray(array.T)[:, :, None]
    if path[-1] == "g":
        return array[:, None, None]
    return np.ascontiguousarray(array.T)


def _from_torch_layout(path: Path, array: np.ndarray, template: Mapping[Path, Any]) -> np.ndarray:
    """The inverse of `_to_torch_layout`."""
    shape = template[path].shape
    if _is_head_dense(path):
        channels = template[(*path[:2], "conv", "bias")].shape[0]
        array = array.reshape(shape[-1], channels, -1).transpose(2, 1, 0)
        return np.ascontiguousarray(array).reshape(shape)
    return np.ascontiguousarray(array.T).reshape(shape)


def _torch_shape(path: Path, template: Mapping[Path, Any]) -> tuple[int, ...]:
    zeros = np.broadcast_to(np.float32(0), template[path].shape)
    return _to_torch_layout(path, zeros, template).shape

"""The ViCo challenge's official listener -> a listener of ours, with the statistics that it was trained on.

    python -m lhg_exporters.vico_listener --weights Epoch_500.bin --output vico.safetensors \\
        --audio-statistics audio_feats_mean_std.bin --video-statistics video_feats_mean_std.bin

Its sound is the baseline's own columns, its motion Deep3DFaceRecon's with the crop: `predict` takes it on
data that was prepared with `--audio vico_compat` and coefficients in `deep3d_crop`. Files are read without
running code in them. Needs PyTorch (`pip install '.[torch]'`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_exporters.convert_weights import allowed_types, import_torch
from lhg_jax.contract import VICO_COMPAT, FeatureSpec, InferenceSpec, word_capacity
from lhg_jax.listener_checkpoint import ListenerModel, save_listener
from lhg_jax.models.resnet_se import TORCH_EPSILON
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener, our_order, vico_from_torch
from lhg_jax.motion import DEEP3D_CROP
from lhg_jax.speech.vico_compat import COLUMNS
from lhg_jax.util.cli import parse
from lhg_jax.util.errors import UserError, run_cli

WINDOW = 1800  # frames: the original runs over whole clips
# Deviation below which a column of sound is rounding noise (the differences of the MFCC are): it stays small.
LEAST_STD = 1e-3


@dataclasses.dataclass(frozen=True)
class Options:
    """Turns the official listener of the ViCo challenge into a listener of ours."""

    weights: Path
    """The official checkpoint (.bin or .pth)."""
    audio_statistics: Path
    """Mean and standard deviation of the 45 columns of sound."""
    video_statistics: Path
    """Mean and standard deviation of the 73 columns `angle.exp.trans`."""
    output: Path
    """The listener to write (.safetensors)."""


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each column."""

    mean: Float[np.ndarray, "columns"]
    std: Float[np.ndarray, "columns"]


def read_file(path: Path) -> Any:
    """What a PyTorch file of tensors and arrays holds. Raises `UserError` for any other."""
    torch = import_torch()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with torch.serialization.safe_globals(allowed_types()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file makes it stumble over
        raise UserError(f"{path}: not a PyTorch file of arrays ({type(error).__name__})") from error


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The network's tensors by name. Raises `UserError` where the file is no state dict."""
    state = read_file(path)
    if not isinstance(state, Mapping) or not all(hasattr(x, "numpy") for x in state.values()):
        raise UserError(f"{path}: not a checkpoint of ViCo's listener (no tensors by name)")
    return {name: tensor.numpy() for name, tensor in state.items()}


def read_statistics(path: Path, columns: int) -> Statistics:
    """The mean and the deviation of that many columns, under whatever names have `mean` and `std` in them.

    Raises `UserError` where there is not one of each.
    """
    found = {kind: [x for name, x in arrays_of(read_file(path)) if kind in name] for kind in ("mean", "std")}
    fitting = {kind: [x for x in arrays if x.shape == (columns,)] for kind, arrays in found.items()}
    if any(len(arrays) != 1 for arrays in fitting.values()):
        raise UserError(f"{path}: not statistics of {columns} columns (one mean and one std of that size)")
    mean, std = (fitting[kind][0] for kind in ("mean", "std"))
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise UserError(f"{path}: statistics that are not finite")
    return Statistics(mean, std)


def arrays_of(tree: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(name with those of the containers around it, flat array) of everything in a file that is numbers."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from arrays_of(value, f"{name}/{key}")
    elif hasattr(tree, "numpy"):
        yield name, tree.numpy().astype(np.float32).ravel()
    elif isinstance(tree, np.ndarray | list | tuple):
        array = np.asarray(tree)
        if array.dtype.kind in "fiu":
            yield name, array.astype(np.float32).ravel()


def listener(
    state: Mapping[str, np.ndarray], audio: Statistics, video: Statistics, source: str
) -> ListenerModel:
    """The listener with our order of columns. Raises `UserError` for weights of another network."""
    config = ViCoConfig()
    order, std = our_order(config.coeff), np.maximum(audio.std, LEAST_STD)
    if not (video.std > 0).all():
        raise UserError(f"{source}: a coefficient's standard deviation is 0")
    gain = np.sqrt(std**2 + TORCH_EPSILON) / std  # takes out what the norm adds to the variance
    norm = {"scale": gain, "bias": np.zeros_like(gain)}
    constants = {"mean": video.mean[order], "std": video.std[order]}
    variables = {
        "params": {"network": vico_from_torch(state, config, source), "mfcc_norm": norm},
        "batch_stats": {"mfcc_norm": {"mean": audio.mean, "var": std**2}},
        "constants": {"motion_scale": constants},
    }
    features = FeatureSpec(mfcc=VICO_COMPAT, mfcc_size=COLUMNS, space=DEEP3D_CROP.name)
    inference = InferenceSpec(window=WINDOW, overlap=WINDOW // 3, max_words=word_capacity(WINDOW))
    return ListenerModel(ViCoListener(config), variables, features, inference=inference)


def main() -> None:
    """Parses the command line and converts."""
    options = parse(Options, "python -m lhg_exporters.vico_listener", __doc__)
    audio = read_statistics(options.audio_statistics, COLUMNS)
    video = read_statistics(options.video_statistics, ViCoConfig().coeff)
    model = listener(read_state(options.weights), audio, video, str(options.weights))
    save_listener(options.output, model, {"source": "ViCo challenge baseline"})
    print(f"wrote {options.output}")


if __name__ == "__main__":
    run_cli(main)

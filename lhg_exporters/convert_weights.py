"""Official HA2G checkpoint (.bin) to safetensors of our variables, and back.

    python -m lhg_exporters.convert_weights --weights ted_gesture_checkpoint.bin --output ha2g.safetensors
    python -m lhg_exporters.convert_weights --weights ha2g.safetensors --output ha2g.bin

Only the audio and the text encoder are kept. The safetensors hold `audio/...`, `text/...` and `embedding`
(one row a word); their metadata hold the word list as JSON. Needs PyTorch (`pip install 'lhg_jax[torch]'`).
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from lhg_jax.models import ha2g
from lhg_jax.outputs import require_outputs
from lhg_jax.util.atomic import replacing
from lhg_jax.util.cli import parse
from lhg_jax.util.errors import MissingExtraError, UserError, run_cli
from lhg_jax.weights import load_weights, save_weights


@dataclasses.dataclass(frozen=True)
class Options:
    """Converts HA2G's weights, one way or the other."""

    weights: Path
    """The official .bin, or .safetensors that this command has written."""
    output: Path
    """The file to write."""


class Vocab:
    """Stands in for HA2G's word list class in its checkpoints; has its data and none of its behaviour."""


Vocab.__module__ = "model.vocab"


def allowed_types() -> list:
    """What an official checkpoint holds besides tensors: a namespace, word lists, a numpy array."""
    from numpy._core.multiarray import _reconstruct, scalar

    dtypes = [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")]
    arrays = [(_reconstruct, "numpy.core.multiarray._reconstruct"), _reconstruct, np.ndarray, np.dtype]
    scalars = [(scalar, "numpy.core.multiarray.scalar"), scalar]
    return [argparse.Namespace, (Vocab, "model.vocab.Vocab"), *arrays, *scalars, *dtypes]


def import_torch() -> Any:
    """PyTorch, or the error that says how to get it."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("reading PyTorch checkpoints", "torch") from None
    return torch


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint as a dict, read without running any code in it. Raises `UserError` if it is none."""
    torch = import_torch()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with torch.serialization.safe_globals(allowed_types()):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file makes it stumble over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: not an HA2G checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or not {"audio_dict", "text_dict"} <= checkpoint.keys():
        raise UserError(f"{path}: not an HA2G checkpoint (it has no audio_dict and text_dict)")
    return checkpoint


def word_list(checkpoint: dict[str, Any]) -> list[str]:
    """Words by row of the embedding; empty where the checkpoint has no word list."""
    index2word = vars(checkpoint["lang_model"]).get("index2word", {}) if "lang_model" in checkpoint else {}
    return [str(index2word[i]) for i in sorted(index2word)]


def to_safetensors(source: Path, output: Path) -> None:
    """Writes our variables of an official checkpoint."""
    checkpoint = read_checkpoint(source)
    state = {key: {k: x.numpy() for k, x in checkpoint[key].items()} for key in ("audio_dict", "text_dict")}
    _, audio = ha2g.audio_from_torch(state["audio_dict"], f"{source} (audio_dict)")
    _, text, embedding = ha2g.text_from_torch(state["text_dict"], f"{source} (text_dict)")
    variables = {"audio": audio, "text": text, "embedding": embedding}
    save_weights(output, variables, {"source": "HA2G", "words": json.dumps(word_list(checkpoint))})


def to_torch(source: Path, output: Path) -> None:
    """Writes `audio_dict` and `text_dict` with official names."""
    torch = import_torch()
    variables, _ = load_weights(source)
    if not {"audio", "text", "embedding"} <= variables.keys():
        raise UserError(f"{source}: not written by this tool (it has no audio, text and embedding)")
    states = {
        "audio_dict": ha2g.audio_to_torch(variables["audio"]),
        "text_dict": ha2g.text_to_torch(variables["text"], variables["embedding"]),
    }
    for state in states.values():
        for name, array in state.items():
            state[name] = torch.from_numpy(array.copy())
    with replacing(output) as temporary:
        torch.save(states, temporary)


def main() -> None:
    """Converts in the direction that the name of the weights file says."""
    options = parse(Options, "python -m lhg_exporters.convert_weights", __doc__)
    backwards = options.weights.suffix == ".safetensors"
    require_outputs([options.output], [options.weights])
    (to_torch if backwards else to_safetensors)(options.weights, options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    run_cli(main)

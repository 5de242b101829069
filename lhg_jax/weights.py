"""Weights on disk: safetensors with slash-joined names and string metadata. No pickles."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import safetensors
import safetensors.numpy

from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

SHOWN_KEYS = 5  # how many keys of each kind an error lists


def save_weights(path: str | os.PathLike, variables: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes nested arrays to a .safetensors file, atomically; structured metadata goes in as JSON."""
    flat = {name: np.asarray(jax.device_get(x), order="C") for name, x in _flatten(variables).items()}
    with replacing(path) as temporary:  # not by `save_file`, which lets nobody else read the file
        temporary.write_bytes(safetensors.numpy.save(flat, metadata=dict(metadata)))


def load_weights(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads (nested arrays, metadata) of a .safetensors file. Raises `UserError` if it cannot."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from error
    return flax.traverse_util.unflatten_dict(flat, sep="/"), metadata


def check_tree(path: str | os.PathLike, loaded: Mapping[str, Any], template: Mapping[str, Any]) -> None:
    """Raises `UserError` listing the first keys that are missing, unknown or of another shape.

    Args:
      path: where `loaded` comes from, for the message.
      loaded: nested arrays.
      template: nested arrays or `jax.ShapeDtypeStruct`s of the model they are meant for.
    """
    if found := listed(misfits(_flatten(loaded), _flatten(template))):
        raise UserError(f"{path}: weights do not fit the model; {found}")


def misfits(have: Mapping[str, Any], want: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of arrays or tensors that are missing, unknown or of another shape than wanted, by complaint."""
    return {
        "missing": [name for name in want if name not in have],
        "unknown": [name for name in have if name not in want],
        "wrong shape": [
            f"{name} {tuple(have[name].shape)} instead of {tuple(want[name].shape)}"
            for name in want
            if name in have and have[name].shape != want[name].shape
        ],
    }


def listed(complaints: Mapping[str, list[str]]) -> str:
    """The first names of each complaint in one line; empty where there is nothing to complain about."""
    return "; ".join(f"{what}: {_shorten(names)}" for what, names in complaints.items() if names)


def _flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(dict(tree), sep="/")


def _shorten(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return ", ".join(names[:SHOWN_KEYS]) + more

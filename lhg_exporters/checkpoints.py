"""Official PyTorch checkpoints: tensors only, checked by name, shape and value before anything uses them."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lhg_jax.util.errors import UserError
from lhg_jax.weights import listed, misfits


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """What a .pth/.pt/.tar (a dict of tensors in plain containers) or .safetensors file holds.

    Raises `UserError` for missing or damaged files, for files that hold anything else, and for pickles of
    more than tensors in containers: they could run code, and are never loaded.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    if Path(path).suffix == ".safetensors":
        import safetensors
        import safetensors.torch

        try:
            return safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(f"{path}: not a safetensors file ({error})") from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            raise UserError(f"{path}: not a PyTorch checkpoint") from error
        raise UserError(f"{path}: holds more than tensors, and such files can run code: refused") from error
    except Exception as error:  # the restricted unpickler raises whatever damage makes it stumble over
        raise UserError(f"{path}: not a PyTorch checkpoint ({type(error).__name__})") from error
    if not isinstance(held, dict):
        raise UserError(f"{path}: holds a {type(held).__name__}, not tensors by name")
    return held


def read_state(path: str | os.PathLike, *nesting: str) -> dict[str, torch.Tensor]:
    """A state dict, which may lie under `nesting` keys; tensors by name.

    `read_state(path, "state_dict")` takes file["state_dict"]; a file that is itself a state dict is taken as
    it is. A leading "module." (of torch.nn.DataParallel) is dropped. Raises `UserError` where there is none.
    """
    state: Any = read_checkpoint(path)
    for key in nesting:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        where = " / ".join(nesting) or "its top"
        raise UserError(f"{path}: no state dict (names to tensors) at {where}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def load_strict(module: torch.nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Puts `state` into `module` in evaluation mode.

    Batch norms' `num_batches_tracked`, which evaluation never reads and some files leave out, may be absent.
    Raises `UserError` listing the first tensors that are missing, unknown, of another shape or not finite.
    """
    own = module.state_dict()
    counters = {name: x for name, x in own.items() if name.endswith("num_batches_tracked")}
    state = {**counters, **state}
    complaints = misfits(state, own)
    complaints["not finite"] = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if found := listed(complaints):
        raise UserError(f"{path}: not weights of {type(module).__name__} ({found})")
    module.load_state_dict(dict(state))
    module.eval()

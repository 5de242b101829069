"""Official files of 3DFaceShop: `generator.pth` (a state dict) and `ema.pth` (averages without names)."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lhg_exporters.checkpoints import load_strict, read_checkpoint, read_state
from lhg_exporters.faceshop.generator import Generator, Sizes
from lhg_jax.util.errors import UserError


def load_generator(path: str | os.PathLike) -> Generator:
    """The generator in a `generator.pth` as published, or in a .safetensors file with the same keys.

    An `ema.pth` beside a .pth file replaces its parameters by their running averages, as the official
    inference does. Raises `UserError` for files that do not fit, and for the pickled VAEs.
    """
    path = Path(path)
    refuse_vae(path)
    state = read_state(path)
    try:
        generator = Generator(Sizes.of(state))
    except (KeyError, IndexError) as error:
        raise UserError(f"{path}: not a generator of 3DFaceShop (it has no {error})") from error
    load_strict(generator, state, path)
    if averages := averages_beside(path):
        load_averages(generator, averages)
    return generator.requires_grad_(False)


def averages_beside(path: Path) -> Path | None:
    """The `ema.pth` that goes with an official file, if it is there."""
    averages = path.with_name("ema.pth")
    return averages if path.suffix == ".pth" and averages.is_file() else None


def load_averages(generator: Generator, path: str | os.PathLike) -> None:
    """Puts the running averages of an `ema.pth` (of torch_ema) in place of the parameters.

    They are a list in the order of the parameters, so number and shapes are all there is to check. Raises
    `UserError` where these do not fit.
    """
    held = read_checkpoint(path)
    averages = held.get("shadow_params") if isinstance(held, Mapping) else None
    if not isinstance(averages, Sequence) or not all(isinstance(x, Tensor) for x in averages):
        raise UserError(f"{path}: no list of tensors under shadow_params")
    wanted = list(generator.named_parameters())
    if len(averages) != len(wanted):
        raise UserError(f"{path}: {len(averages)} averages, but the generator has {len(wanted)} parameters")
    for number, ((name, parameter), average) in enumerate(zip(wanted, averages, strict=True)):
        if average.shape != parameter.shape or not torch.isfinite(average).all():
            raise UserError(
                f"{path}: average {number} of shape {tuple(average.shape)} cannot be {name}, "
                f"which is finite and of shape {tuple(parameter.shape)}"
            )
        parameter.data.copy_(average)


def refuse_vae(path: Path) -> None:
    """Raises `UserError` for 3DFaceShop's VAEs: whole modules pickled, which unpickling would run as code."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (OSError, ValueError, RuntimeError):
        return  # no pickle of PyTorch, which the reader says in its own words
    if any(name.startswith("vaes.") for name in names):
        raise UserError(
            f"{path}: a VAE of 3DFaceShop, a pickled Python object that would run code when read: refused "
            "(it only invents coefficients, and a tracked face has its own; give generator.pth)"
        )

"""Renderers of several networks: their official files -> a folder of ONNX files."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lhg_exporters import load_export, onnx_file
from lhg_jax.liveportrait.networks import FILES as LIVEPORTRAIT_FILES
from lhg_jax.render.faceshop.files import STAGES as FACESHOP_FILES
from lhg_jax.util.errors import UserError

# LivePortrait's file for each network, below its folder of published weights.
LIVEPORTRAIT_WEIGHTS = {
    "appearance": "base_models/appearance_feature_extractor",
    "motion": "base_models/motion_extractor",
    "warping": "base_models/warping_module",
    "generator": "base_models/spade_generator",
    **dict.fromkeys(("stitching", "eye", "lip"), "retargeting_models/stitching_retargeting_module"),
}


def faceshop_sources(weights: Path) -> dict[str, Path]:
    """3DFaceShop: all networks are in one file (with `ema.pth` beside it)."""
    return dict.fromkeys(FACESHOP_FILES, weights)


def liveportrait_sources(weights: Path) -> dict[str, Path]:
    """LivePortrait: files below its folder as published, or beside each other, .pth or .safetensors.

    Raises `UserError` naming the first that is missing.
    """
    if not weights.is_dir():
        raise UserError(f"{weights}: not a folder (the one that holds LivePortrait's base_models)")
    return {name: _find(weights, LIVEPORTRAIT_WEIGHTS[name]) for name in LIVEPORTRAIT_FILES}


def _find(folder: Path, name: str) -> Path:
    for base in (folder / name, folder / "liveportrait" / name, folder / Path(name).name):
        for suffix in (".pth", ".safetensors"):
            if (path := base.with_suffix(suffix)).is_file():
                return path
    raise UserError(f"{folder / name}.pth: missing")


FOLDERS: dict[str, Callable[[Path], dict[str, Path]]] = {
    "faceshop": faceshop_sources,
    "liveportrait": liveportrait_sources,
}


def export_folder(options: onnx_file.Options) -> None:
    """Writes every file of a folder, each checked as `onnx_file.export` does.

    All official files are read before the first is exported, which takes minutes: a wrong one leaves nothing.
    """
    sources = FOLDERS[options.name](options.weights)
    onnx_file.require_torch()
    for name, weights in sources.items():
        load_export(f"{options.name}_{name}", weights, **options.settings)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, weights in sources.items():
        output = options.output / f"{name}.onnx"
        stage = dataclasses.replace(options, name=f"{options.name}_{name}", weights=weights, output=output)
        difference = onnx_file.export(stage)
        print(f"wrote {output} (differs from PyTorch by {difference:.2g} of the largest value)")

"""3DFaceShop's `generator.pth` (with `ema.pth` beside it) -> a folder of the four ONNX files of its renderer.

  python tools/export_faceshop.py --weights generator.pth --output FOLDER

Each file is made and checked by tools/export_stage.py. Needs the extra `stages`.
"""

import dataclasses
from pathlib import Path

import tyro
from export_stage import Options as StageOptions
from export_stage import export

from lhg_jax.render.faceshop.files import STAGES
from lhg_jax.util.errors import run_cli


@dataclasses.dataclass(frozen=True)
class Options:
    """Turns 3DFaceShop's official generator into ONNX files."""

    weights: Path
    """generator.pth, or a .safetensors file of a generator tuned to one portrait."""
    output: Path
    """The folder to write."""


def export_all(weights: Path, folder: Path) -> None:
    """Writes the four files."""
    for stage in STAGES:
        output = folder / f"{stage}.onnx"
        difference = export(StageOptions(f"faceshop_{stage}", weights, output))
        print(f"wrote {output} (differs from PyTorch by {difference:.2g} of the largest value)")


def main() -> None:
    """Parses the command line and exports."""
    options = tyro.cli(Options, description=__doc__)
    export_all(options.weights, options.output)


if __name__ == "__main__":
    run_cli(main)

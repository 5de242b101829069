"""Official files of networks with weights filled by rule, and how near outputs must be to recorded ones."""

import importlib.util
import json
from pathlib import Path

import numpy as np


def fill_module(shared: Path):
    """The rules by which the recordings' weights were made."""
    spec = importlib.util.spec_from_file_location("fill", shared / "golden/fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return fill


def filled_state(shared: Path, model: str, seed: int) -> dict:
    """Tensors by name, as golden/README.md says."""
    import torch

    fill = fill_module(shared)
    manifest = json.loads((shared / f"golden/{model}.manifest.json").read_text())
    return {name: torch.from_numpy(np.asarray(x)) for name, x in fill.state_dict(manifest, seed).items()}


def export(name: str, weights: Path, output: Path, **settings) -> Path:
    """`python -m lhg_exporters NAME`."""
    from lhg_exporters import onnx_file

    onnx_file.export(onnx_file.Options(name, weights, output, **settings))
    return output


def assert_close(actual: np.ndarray, expected: np.ndarray, relative: float) -> None:
    """To the largest value of `expected`."""
    error = np.abs(np.asarray(actual, np.float64) - expected).max() / np.abs(expected).max()
    assert error <= relative, f"{error:.2e} of the largest value"

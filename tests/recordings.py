"""Recorded weights, inputs and outputs of original networks."""

import importlib.util
import json

import numpy as np


def golden(shared, model: str, case: str):
    """(arrays of the case, state dict with the weights it was recorded with)."""
    folder = shared / "golden"
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    arrays = dict(np.load(folder / f"{model}.{case}.npz"))
    manifest = json.loads((folder / f"{model}.manifest.json").read_text())
    return arrays, fill.state_dict(manifest, int(arrays["weight_seed"]))


def assert_close(actual, expected, relative: float):
    error = np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()
    assert error <= relative, f"{error:.2e} of the largest value"

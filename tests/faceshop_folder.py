"""A folder of the tiny generator's ONNX files, and a person for it, as the tools make them."""

from pathlib import Path

import numpy as np
import torch
from faceshop_weights import random_generator

from lhg_exporters.folders import export_folder
from lhg_exporters.onnx_file import Options
from lhg_jax.render.faceshop import latent as latent_code
from lhg_jax.render.faceshop.person import Person
from lhg_jax.render.faceshop.placement import Placement

ROOT = Path(__file__).resolve().parent.parent


def make_folder(folder: Path, generator=None) -> Path:
    """`folder` with generator.pth and the ONNX files made from it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save((generator or random_generator()).state_dict(), folder / "generator.pth")
    export_folder(Options("faceshop", folder / "generator.pth", folder))
    return folder


def make_person(rows: int, height: int, seed: int = 0) -> Person:
    """Random coefficients of usual size, the head in the middle of a portrait of `height` x `height`."""
    rng = np.random.default_rng(seed)
    coefficients = {
        name: columns[1] * rng.normal(size=columns[0].stop - columns[0].start)
        for name, columns in latent_code.PARTS.items()
    }
    latent = latent_code.with_parts(np.zeros(latent_code.SIZE, np.float32), **coefficients)
    return Person(
        latent,
        (0.05 * rng.normal(size=(rows, 512))).astype(np.float32),
        np.array([0.02, -0.01], np.float32),
        np.array([0.1, -0.2, 0.05], np.float32),
        np.array([0.02, -0.03, 0.1], np.float32),
        Placement(2.5 * 224 / height, np.array([height / 2, height / 2]), height),
    )

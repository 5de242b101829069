"""Generators of 3DFaceShop for tests and benchmarks: the recorded ones, and others with random weights."""

import importlib.util
import json

import numpy as np
import torch

from lhg_exporters.faceshop.generator import Generator, Sizes

TINY = Sizes({4: 32, 8: 32, 16: 32}, image=32, width=16)
WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}  # the official ones
FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def recorded(shared, model: str, case: str):
    """State dict and arrays of a golden case."""
    golden = shared / "golden"
    spec = importlib.util.spec_from_file_location("fill", golden / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    data = {name: torch.from_numpy(array) for name, array in np.load(golden / f"{model}.{case}.npz").items()}
    manifest = json.loads((golden / f"{model}.manifest.json").read_text())
    keep = dict(np.load(golden / f"{model}.keep.npz"))
    state = fill.state_dict(manifest, int(data["weight_seed"]), keep)
    return {name: torch.from_numpy(np.asarray(array)) for name, array in state.items()}, data


def official_sizes(image: int = 512) -> Sizes:
    """The official sizes, or for smaller pictures the same widths with smaller planes and fewer rays."""
    return Sizes({size: width for size, width in WIDTHS.items() if size <= image // 2}, image, width=64)


def random_generator(seed: int = 0, sizes: Sizes = TINY) -> Generator:
    """A generator, small unless said, whose images fill [-1, 1] without leaving it often."""
    torch.manual_seed(seed)
    generator = Generator(sizes)
    for name, tensor in generator.state_dict().items():
        tensor.copy_(_filled(name, tensor))
    return generator.eval().requires_grad_(False)


def _filled(name: str, tensor: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(tensor.shape)
    if name.endswith("resample_filter"):
        return FILTER
    if name.endswith("affine.bias"):
        return 1.0 + 0.1 * noise
    if name.endswith("noise_strength"):
        return 0.05 * noise
    if ".mapping.fc" in name:
        return 100.0 * noise if name.endswith("weight") else 10.0 * noise
    if name.startswith("sr.block1.torgb"):
        return 0.3 * noise
    return 0.05 * noise if name.endswith("bias") else noise

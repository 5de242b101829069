"""Small RVRT networks: with random weights, and with those of the recordings."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch

from lhg_exporters.rvrt.network import RVRT, RVRTConfig

TINY = RVRTConfig(width=12, enlarges=True, inputs=3, groups=(1, 1, 1, 1, 1, 1))
TINY_DENOISER = RVRTConfig(width=12, enlarges=False, inputs=4, groups=(1, 3, 4, 6, 4, 4))


def random_network(config: RVRTConfig, seed: int = 0) -> RVRT:
    """No tensor is zero, activations stay near 1."""
    torch.manual_seed(seed)
    net = RVRT(config).eval().requires_grad_(False)
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5)
        elif "norm" in name or ".main.3." in name or ".main.7." in name:
            parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.1)
        else:
            parameter.normal_(0, 0.05)
    return net


def recording(shared: Path, model: str, case: str) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Arrays and weights; the reference's own constants come from beside them."""
    spec = importlib.util.spec_from_file_location("fill", shared / "golden/fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    manifest = json.loads((shared / f"golden/{model}.manifest.json").read_text())
    arrays = dict(np.load(shared / f"golden/{model}.{case}.npz"))
    keep = dict(np.load(shared / f"golden/{model}.keep.npz"))
    state = fill.state_dict(manifest, int(arrays["weight_seed"]), keep)
    return arrays, {name: torch.from_numpy(x) for name, x in state.items()}


def video(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """A recording's video as the network takes it."""
    rgb = arrays["in_video_uint8"].astype(np.float32).transpose(0, 3, 1, 2)[None] / 255
    if "in_noise_sigma" not in arrays:
        return rgb
    return np.concatenate([rgb, np.full_like(rgb[:, :, :1], arrays["in_noise_sigma"])], axis=2)


def errors(arrays: dict[str, np.ndarray], restored: np.ndarray) -> dict[str, float]:
    """Largest differences from what was recorded of the output, relative to its largest value."""
    height, width = restored.shape[-2:]
    views = {
        "out_out": restored,
        "out_out_sub4": restored[..., ::4, ::4],
        "out_out_crop": restored[..., height // 4 :, width // 4 :][..., : height // 2, : width // 2],
    }
    return {
        name: float(np.abs(view - arrays[name]).max() / np.abs(arrays[name]).max())
        for name, view in views.items()
        if name in arrays
    }

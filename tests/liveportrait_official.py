"""LivePortrait's official folder as published, its tensors filled as the recordings' were."""

import os
from pathlib import Path

import numpy as np
from liveportrait_recordings import SEED
from stage_files import filled_state

BASE, RETARGETING = "base_models", "retargeting_models/stitching_retargeting_module.pth"
FILES = {
    "appearance": f"{BASE}/appearance_feature_extractor.pth",
    "motion": f"{BASE}/motion_extractor.pth",
    "warping": f"{BASE}/warping_module.pth",
    "generator": f"{BASE}/spade_generator.pth",
    "stitching": RETARGETING,
}
PARTS = {
    "retarget_shoulder": "stitching",
    "retarget_eye": "stitching.eye",
    "retarget_mouth": "stitching.lip",
}


def generator_state(shared: Path) -> dict:
    """The generator's tensors; the spectral norms' stored vectors are constants of the recording."""
    import torch

    kept = np.load(shared / "golden/liveportrait_spade.keep.npz")
    state = filled_state(shared, "liveportrait_spade", SEED)
    return state | {name: torch.from_numpy(kept[name]) for name in kept.files}


def retargeting_state(shared: Path) -> dict:
    """Three networks in one dict, with a prefix of data parallel training."""
    return {
        part: {f"module.{k}": x for k, x in filled_state(shared, f"liveportrait_{name}", SEED).items()}
        for part, name in PARTS.items()
    }


def official_state(shared: Path, name: str) -> dict:
    """What one of `FILES` holds."""
    if name == "stitching":
        return retargeting_state(shared)
    return (
        generator_state(shared) if name == "generator" else filled_state(shared, f"liveportrait_{name}", SEED)
    )


def make_official(shared: Path, folder: Path) -> Path:
    """All five files (500 MB), and what else the published folder has."""
    import torch

    for name, file in FILES.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(official_state(shared, name), path)
    (folder / "landmark.onnx").write_bytes(b"of no use here")
    return folder


def linked(folder: Path, copy: Path) -> Path:
    """The same files under another folder, without their weight."""
    for path in folder.rglob("*.*"):
        (copy / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        os.link(path, copy / path.relative_to(folder))
    return copy

"""LivePortrait's recordings, and its small networks and keypoints as the recordings have them."""

import json

import numpy as np
from stage_files import fill_module

from lhg_jax.liveportrait.driving import Correctors
from lhg_jax.liveportrait.keypoints import Face, rotation

SEED = 201  # of the weights of every recording


def recorded(shared, name: str, case: str = "a") -> dict[str, np.ndarray]:
    return dict(np.load(shared / f"golden/liveportrait_{name}.{case}.npz"))


def dense_layers(shared, name: str):
    """One of the small networks with the recording's weights, in numpy."""
    manifest = json.loads((shared / f"golden/liveportrait_{name}.manifest.json").read_text())
    state = fill_module(shared).state_dict(manifest, SEED)
    weights = [key for key in state if key.endswith("weight")]

    def run(x):
        for key in weights:
            x = x @ state[key].T + state[key.replace("weight", "bias")]
            x = x if key == weights[-1] else np.maximum(x, 0)
        return x

    return run


def correctors(shared) -> Correctors:
    return Correctors(*(dense_layers(shared, f"stitching{part}") for part in ("", ".eye", ".lip")))


def source_of(data) -> tuple[Face, np.ndarray]:
    """The recorded portrait, and its pose in degrees."""
    pose_deg = np.concatenate([data[f"in_source_{name}"] for name in ("pitch", "yaw", "roll")], axis=1)
    face = Face(
        data["in_source_kp"],
        rotation(pose_deg),
        data["in_source_exp"],
        data["in_source_scale"],
        data["in_source_t"],
    )
    return face, pose_deg

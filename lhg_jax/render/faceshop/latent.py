"""3DFaceShop's latent: free noise z, then Deep3DFaceRecon's coefficients, each divided by its own scale."""

import math

import numpy as np
from jaxtyping import Float

SIZE = 379
# Part -> where it stands, and what its coefficients are divided by (Tang et al., arXiv:2209.05434, code).
PARTS = {
    "z": (slice(0, 128), 1.0),
    "id": (slice(128, 208), 4.2),
    "tex": (slice(208, 288), 9.0),
    "exp": (slice(288, 352), 4.0),
    "gamma": (slice(352, 379), 0.85),
}


def with_parts(latent: Float[np.ndarray, "379"], **parts: np.ndarray) -> Float[np.ndarray, "379"]:
    """A copy with parts replaced by coefficients in Deep3DFaceRecon's own units."""
    latent = latent.copy()
    for name, coefficients in parts.items():
        columns, scale = PARTS[name]
        latent[columns] = coefficients / scale
    return latent


def camera_pose(angle: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2"]:
    """The camera (pitch, yaw; front is pi/2, pi/2) that sees an upright head as turned by `angle` (rad).

    Roll is not a matter of the camera: it turns the picture (faceshop_placement.py).
    """
    return np.array([math.pi / 2 - angle[0], math.pi / 2 + angle[1]], np.float32)

"""How far a smile goes: a mouth that smiles already has little left to add.

In eight clips of talking and laughing people the mouth's corners rise by 0.22 distances between the eyes at
most over the middle of the lips, and that in a laugh. A full smile (`face_model.action`) lifts them by 0.09:
from a portrait that smiles, it would draw them higher than a mouth goes.
"""

import functools

import numpy as np
from jaxtyping import Float

from lhg_jax.face_model import action, modes
from lhg_jax.render.smoothstep import limited

FULL_SMILE = 0.09  # distances between the eyes: lift of the corners
LIFT = 0.15, 0.22  # distances between the eyes: exact up to, at most


def lift(y: Float[np.ndarray, "68"]) -> float:
    """How far the mouth's corners are above the middle of the lips; y of the landmarks, down the face."""
    return float(y[51] + y[57] - y[48] - y[54]) / 2


@functools.cache
def full_smile() -> Float[np.ndarray, "68 3"]:
    """Displacement of the landmarks in a full smile, distances between the eyes."""
    return np.tensordot(action("smile"), modes(), axes=1)


def within_reach(
    displacement: Float[np.ndarray, "68 3"], shape: Float[np.ndarray, "68 3"]
) -> Float[np.ndarray, "68 3"]:
    """A displacement less the part of its smile that a mouth cannot do.

    Args:
      displacement: of the landmarks, in the head's axes, distances between the eyes.
      shape: where they are without it.
    """
    before = lift(shape[:, 1])
    wanted = lift(displacement[:, 1])
    excess = wanted - (limited(before + wanted, *LIFT) - limited(before, *LIFT))
    return displacement - excess / lift(full_smile()[:, 1]) * full_smile()

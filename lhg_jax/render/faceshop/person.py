"""A portrait in 3DFaceShop's latent space, as a small file.

`python -m lhg_exporters.invert_portrait` finds it.
"""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.render.faceshop import latent
from lhg_jax.render.faceshop.placement import Placement
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights, save_weights

FOLDER = "portraits"  # beside the generator's ONNX files


@dataclasses.dataclass(frozen=True)
class Person:
    """One person in one portrait.

    Attributes:
      latent: z found by the inversion, the rest from the tracker, with the portrait's own expression.
      residual: what the inversion adds to the styles.
      pose_offset: what it adds to the camera's pitch and yaw, rad.
      angle: of the head in the portrait, rad.
      trans: of the head in its crop, decimetres.
      placement: of the crop in the portrait.
    """

    latent: Float[np.ndarray, "379"]
    residual: Float[np.ndarray, "rows 512"]
    pose_offset: Float[np.ndarray, "2"]
    angle: Float[np.ndarray, "3"]
    trans: Float[np.ndarray, "3"]
    placement: Placement

    def save(self, path: str | os.PathLike) -> None:
        """Writes a .safetensors file, atomically."""
        placement = [self.placement.scale, *self.placement.origin, self.placement.height]
        arrays = {name: getattr(self, name) for name in ARRAYS}
        save_weights(path, {**arrays, "placement": np.array(placement)}, {"stage": "faceshop portrait"})


ARRAYS = ("latent", "residual", "pose_offset", "angle", "trans")


def load_person(path: str | os.PathLike) -> Person:
    """Reads what `Person.save` wrote. Raises `UserError` for anything else."""
    arrays, _ = load_weights(path)
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    want = {"latent": (latent.SIZE,), "pose_offset": (2,), "angle": (3,), "trans": (3,)}
    want |= {"placement": (4,), "residual": (*shapes.get("residual", ())[:1], 512)}
    if shapes != want:
        raise UserError(f"{path}: not a portrait inverted by `python -m lhg_exporters.invert_portrait`")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{path}: holds values that are not finite")
    scale, x, y, height = arrays["placement"]
    placement = Placement(float(scale), np.array([x, y]), int(height))
    return Person(**{name: arrays[name] for name in ARRAYS}, placement=placement)


def portrait_file(folder: Path, portrait: UInt8[np.ndarray, "height width 3"]) -> Path:
    """Where the inversion of a portrait lies: named by its pixels, so any copy of the file finds it."""
    shape = repr(portrait.shape).encode()
    digest = hashlib.sha256(shape + np.ascontiguousarray(portrait).tobytes()).hexdigest()
    return folder / FOLDER / f"{digest[:16]}.safetensors"

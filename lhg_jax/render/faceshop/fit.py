"""What Deep3DFaceRecon measured in a portrait, and the person from which an inversion starts."""

import dataclasses
import os

import numpy as np
from jaxtyping import Float

from lhg_jax.faces.precomputed import COEFF_PARTS, COEFF_SIZE, float_rows, read_arrays
from lhg_jax.render.faceshop.latent import SIZE, with_parts
from lhg_jax.render.faceshop.person import Person
from lhg_jax.render.faceshop.placement import Placement
from lhg_jax.util.errors import UserError

# Columns of the 257 coefficients.
LATENT_PARTS = {
    "id": slice(0, 80),
    "exp": COEFF_PARTS["exp"],
    "tex": slice(144, 224),
    "gamma": slice(227, 254),
}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Coefficients of one face; width, height of the image, scale of the crop, x and y (up) of its middle."""

    coefficients: Float[np.ndarray, "257"]
    crop: Float[np.ndarray, "5"]

    def person(self, height: int, rows: int) -> Person:
        """The person before inversion, in a portrait of `height`: z and the `rows` of residual are 0."""
        parts = {name: self.coefficients[columns] for name, columns in LATENT_PARTS.items()}
        return Person(
            latent=with_parts(np.zeros(SIZE, np.float32), **parts),
            residual=np.zeros((rows, 512), np.float32),
            pose_offset=np.zeros(2, np.float32),
            angle=self.coefficients[COEFF_PARTS["angle"]],
            trans=self.coefficients[COEFF_PARTS["trans"]],
            placement=Placement(float(self.crop[2]), np.asarray(self.crop[3:], np.float64), height),
        )


def read_measurement(path: str | os.PathLike) -> Measurement:
    """The first row of `coeff` [T, 257] and `transform_params` [T, 5] in a `.mat` or `.npz` file.

    This is what Deep3DFaceRecon's scripts write for a picture or video. Raises `UserError` for other files.
    """
    arrays = read_arrays(path)
    rows = []
    for name, width in (("coeff", COEFF_SIZE), ("transform_params", 5)):
        if name not in arrays:
            raise UserError(f"{path}: no {name} (it holds {', '.join(arrays) or 'nothing'})")
        rows.append(float_rows(path, name, arrays[name], (width,))[0])
        if not np.isfinite(rows[-1]).all():
            raise UserError(f"{path}: {name} holds values that are not finite")
    return Measurement(*rows)

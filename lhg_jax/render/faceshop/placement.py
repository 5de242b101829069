"""Where the generator's picture lies in a portrait.

The generator draws every head upright, of one size and at one place: as a camera with the field of view of
Deep3DFaceRecon's sees a face at trans = (0, -0.1, 0). Its picture is mapped to the portrait by the similarity
that takes this placement to the tracked one (weak perspective, so no morphable model is needed). Canonical
coordinates q are pixels of a crop of 224, y up, from its middle.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

HALF = 112.0  # canonical coordinate of the outermost pixel centres
FOCAL = 101.5  # canonical pixels for one of Deep3DFaceRecon's units (decimetres) at the canonical depth
DEPTH = 10.0  # of the camera from the model's origin, decimetres
HEAD = FOCAL * np.array([0.0, -0.1])  # where the generator puts the model's origin


@dataclasses.dataclass(frozen=True)
class Placement:
    """The crop in which the portrait's coefficients were measured.

    Attributes:
      scale: crop pixels for a pixel of the portrait.
      origin: where the crop's middle lies in the portrait, pixels, y up.
      height: of the portrait, pixels.
    """

    scale: float
    origin: Float[np.ndarray, "2"]
    height: int

    def to_portrait(self, roll: float, trans: Float[np.ndarray, "3"], size: int) -> Float[np.ndarray, "2 3"]:
        """The affine map from pixels of a generated picture to pixels of the portrait (y down in both).

        Args:
          roll: of the head, counter-clockwise in the image, rad.
          trans: of the head in the crop, decimetres (x right, y up, z nearer).
          size: of the generated picture, pixels.
        """
        zoom = DEPTH / (DEPTH - trans[2]) / self.scale
        turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        shift = self.origin + zoom * FOCAL * trans[:2] - turn @ HEAD
        step = 2 * HALF / (size - 1)  # canonical pixels for one of the picture
        to_canonical = np.array([[step, 0.0, -HALF], [0.0, -step, HALF], [0.0, 0.0, 1.0]])
        upwards = np.column_stack([turn, shift]) @ to_canonical
        flip = np.array([[1.0, 0.0], [0.0, -1.0]])
        return flip @ upwards + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, self.height - 1.0]])

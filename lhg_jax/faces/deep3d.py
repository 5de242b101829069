"""Deep3DFaceRecon (Deng et al., CVPRW 2019): 257 coefficients of an aligned crop, as `deep3d(_crop)`.

Coefficients: 80 of identity, 64 of expression, 80 of texture, angle 3, 27 of light, trans 3. They need no
file of the morphable model, only the five points below.

Motion: expression as it is; angle (a, b, c) in rad with R = Rz(c) Ry(b) Rx(a), positive when the nose goes
down, the nose goes to the image's right, and the head turns counter-clockwise in the image; trans is what the
alignment of the crop leaves over, in decimetres (x right, y up, z nearer; the camera is at z = 10).
`deep3d_crop` adds the crop: its scale, and where the model's origin lies in the image (pixels, y up).
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PillowImage

from lhg_jax.faces.alignment import Points
from lhg_jax.faces.detection import Image
from lhg_jax.faces.network import NetworkTracker, Parameters, load_network
from lhg_jax.faces.precomputed import COEFF_PARTS, CROP_COLUMNS
from lhg_jax.motion import DEEP3D, DEEP3D_CROP, CoefficientSpace
from lhg_jax.util import interop

SIDE = 224  # of the crop, pixels
SCALE = 102.0  # of the five points in the crop, pixels for a unit of theirs
# Eyes, tip of the nose and corners of the mouth (the image's left first) of a mean face: x right, y up, z to
# the viewer; BFM/similarity_Lm3D_all.mat of the original. The crop, so every coefficient, depends on them.
STANDARD = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032534988, -0.046179324, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)

FivePoints = Float[np.ndarray, "5 2"]
# Width and height of the image, scale of the crop, x and y (up) of the model's origin in the image, pixels.
Deep3dPlaces = Float[np.ndarray, "faces 5"]


def load(weights: Path | None) -> NetworkTracker:
    """The tracker in `deep3d` with a network exported by `python -m lhg_exporters deep3d`."""
    return NetworkTracker(Deep3dNetwork(load_network(weights, SIDE, "coeff"), DEEP3D))


def load_with_crop(weights: Path | None) -> NetworkTracker:
    """The tracker in `deep3d_crop` with a network exported by `python -m lhg_exporters deep3d`."""
    return NetworkTracker(Deep3dNetwork(load_network(weights, SIDE, "coeff"), DEEP3D_CROP))


@dataclasses.dataclass(frozen=True)
class Deep3dNetwork:
    """Aligned crops, the network, and motion from its coefficients (network.FaceNetwork)."""

    stage: interop.ExternalNetwork
    space: CoefficientSpace

    def crop(
        self, image: Image, landmarks: Points
    ) -> tuple[UInt8[np.ndarray, "224 224 3"], Float[np.ndarray, "5"]]:
        """The aligned crop, and `Deep3dPlaces` of it."""
        return align(image, five_points(landmarks))

    def parameters(self, crops: UInt8[np.ndarray, "faces 224 224 3"]) -> Float[np.ndarray, "faces 257"]:
        """The 257 coefficients of RGB crops."""
        pixels = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / 255
        return self.stage(image=pixels)["coeff"]

    def values(self, parameters: Parameters, places: Deep3dPlaces) -> Float[np.ndarray, "faces coeff"]:
        """Motion values of coefficients measured in crops that lay there."""
        parts = {name: parameters[:, columns] for name, columns in COEFF_PARTS.items()}
        parts["crop"] = places[:, CROP_COLUMNS]
        return np.concatenate([parts[part.name] for part in self.space.parts], axis=1)


def five_points(landmarks: Points) -> FivePoints:
    """Eyes (middle of their corners), tip of the nose and corners of the mouth, pixels."""
    eyes = [landmarks[[36, 39]].mean(0), landmarks[[42, 45]].mean(0)]
    return np.array([*eyes, landmarks[30], landmarks[48], landmarks[54]])


def align(image: Image, points: FivePoints) -> tuple[UInt8[np.ndarray, "224 224 3"], Float[np.ndarray, "5"]]:
    """Brings a face to the place and size that the network was trained on.

    Args:
      image: RGB.
      points: as `five_points` gives them, pixels, y down.

    Returns:
      The crop, black outside the image, and one row of `Deep3dPlaces`.
    """
    height, width = image.shape[:2]
    upwards = np.column_stack([points[:, 0], height - 1 - points[:, 1]])
    size, (x, y) = weak_perspective(upwards)
    scale = SCALE / size
    # Everything is cut to whole pixels towards zero, also on the negative side.
    wide, high = int(width * scale), int(height * scale)
    left = int(wide / 2 - SIDE / 2 + (x - width / 2) * scale)
    top = int(high / 2 - SIDE / 2 + (height / 2 - y) * scale)
    resized = PillowImage.fromarray(image).resize((wide, high), PillowImage.Resampling.BICUBIC)
    crop = np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))
    return crop, np.array([width, height, scale, x, y])


def weak_perspective(points: FivePoints) -> tuple[float, Float[np.ndarray, "2"]]:
    """Scale (pixels) and origin (pixels, y up) of `STANDARD` in an image, by least squares, rotation free."""
    system = np.column_stack([STANDARD, np.ones(len(STANDARD))])
    solution = np.linalg.lstsq(system, points, rcond=None)[0]
    return float(np.linalg.norm(solution[:3], axis=0).mean()), solution[3]

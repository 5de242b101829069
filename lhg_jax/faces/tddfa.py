"""3DDFA_V2 (Guo et al., ECCV 2020): 62 parameters of a morphable model from a crop, in the space `tddfa`.

Parameters: a 3 x 4 matrix [s R | t], row by row, into the crop's 120 pixels (y up); 40 coefficients of shape
(the person); 10 of expression. They need no file of the morphable model. Its landmarks would, so the crop
follows dlib's instead, by the same rule.

Motion: expression as it is; angle (pitch, yaw, roll) in rad, positive when the nose goes down, the nose goes
to the image's left, and the head turns counter-clockwise in the image (roll is the other way round in the
space `landmark`); trans is the model's origin in picture widths and heights from the top left, and the log of
the length of 0.1 m in picture heights. Translations in the crop jump with the crop, so they are not used.
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.faces.alignment import Points
from lhg_jax.faces.detection import Box, Image
from lhg_jax.faces.network import NetworkTracker, Parameters, load_network
from lhg_jax.motion import TDDFA, CoefficientSpace
from lhg_jax.util import interop

SIDE = 120  # of the crop, pixels
POSE, SHAPE, EXPRESSION = slice(0, 12), slice(12, 52), slice(52, 62)
# A box of the reference's detector becomes a region of this many times its side, this much lower (in sides).
BOX_MARGIN, BOX_DROP = 1.58, 0.14
GIMBAL = 0.998  # sine of the yaw from which pitch and roll cannot be told apart
MODEL_UNITS_PER_DECIMETRE = 1e5  # the morphable model is in micrometres

Region = Float[np.ndarray, "4"]  # left, top, right, bottom, pixels of the image
# Region, then width and height of the image (pixels).
TddfaPlaces = Float[np.ndarray, "faces 6"]


def load(weights: Path | None) -> NetworkTracker:
    """The tracker with a network exported by `python -m lhg_exporters tddfa`."""
    return NetworkTracker(TddfaNetwork(load_network(weights, SIDE, "parameters")))


@dataclasses.dataclass(frozen=True)
class TddfaNetwork:
    """Crops of landmarks, the network, and motion from its parameters (network.FaceNetwork)."""

    stage: interop.ExternalNetwork
    space: CoefficientSpace = TDDFA

    def crop(
        self, image: Image, landmarks: Points
    ) -> tuple[UInt8[np.ndarray, "120 120 3"], Float[np.ndarray, "6"]]:
        """The crop, and its region with the image's width and height."""
        region = landmark_region(landmarks)
        return crop(image, region), np.array([*region, *image.shape[1::-1]])

    def parameters(self, crops: UInt8[np.ndarray, "faces 120 120 3"]) -> Float[np.ndarray, "faces 62"]:
        """The 62 parameters of RGB crops."""
        return self.answers(crops)["parameters"]

    def answers(self, crops: UInt8[np.ndarray, "faces 120 120 3"]) -> interop.Arrays:
        """All that the network says of RGB crops."""
        bgr = crops[..., ::-1].transpose(0, 3, 1, 2)
        pixels = (np.ascontiguousarray(bgr, np.float32) - 127.5) / 128
        return self.stage(image=pixels)

    def values(self, parameters: Parameters, places: TddfaPlaces) -> Float[np.ndarray, "faces 16"]:
        """Motion values of parameters measured in crops that lay there."""
        angle, shift, scale = pose(parameters[:, POSE])
        side = places[:, 2:4] - places[:, :2]
        size = places[:, 4:]
        origin = places[:, :2] + np.column_stack([shift[:, 0] - 1, SIDE - shift[:, 1]]) * side / SIDE
        decimetre = scale * MODEL_UNITS_PER_DECIMETRE * side[:, 0] / SIDE
        log_scale = np.log(np.maximum(decimetre / size[:, 1], 1e-6))
        return np.column_stack([parameters[:, EXPRESSION], angle, origin / size, log_scale])


def box_region(box: Box) -> Region:
    """The region that the reference crops for a box of its detector (FaceBoxes) while it has no landmarks."""
    left, top, right, bottom = box
    side = (right - left + bottom - top) / 2
    centre = np.array([(left + right) / 2, (top + bottom) / 2 + BOX_DROP * side])
    half = int(BOX_MARGIN * side) / 2
    return np.concatenate([centre - half, centre + half])


def landmark_region(landmarks: Points) -> Region:
    """The region cropped for a face with these landmarks (pixels): a square, root 2 times their extent."""
    low, high = landmarks.min(0), landmarks.max(0)
    half = np.sqrt(2) * (high - low).max() / 2
    return np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half])


def crop(image: Image, region: Region) -> UInt8[np.ndarray, "120 120 3"]:
    """A region, rounded to whole pixels and black outside the image, resized without antialiasing."""
    left, top, right, bottom = (round(float(edge)) for edge in region)
    pixels = np.zeros((max(bottom - top, 1), max(right - left, 1), 3), np.uint8)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    row, column = max(-top, 0), max(-left, 0)
    pixels[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def pose(
    matrices: Float[np.ndarray, "faces 12"],
) -> tuple[Float[np.ndarray, "faces 3"], Float[np.ndarray, "faces 2"], Float[np.ndarray, "faces"]]:
    """Angle (pitch, yaw, roll; rad), shift (x, y in pixels of the crop, y up) and scale of pose matrices.

    R = Rz(roll) Ry(-yaw) Rx(pitch), its third row made from the first two, which are taken as they are.
    """
    rows = matrices.reshape(-1, 3, 4)
    norms = np.linalg.norm(rows[:, :2, :3], axis=2)
    first, second = (rows[:, i, :3] / np.maximum(norms[:, i, None], 1e-12) for i in (0, 1))
    third = np.cross(first, second)
    yaw = np.arcsin(np.clip(third[:, 0], -1, 1))
    pitch, roll = np.arctan2(third[:, 1], third[:, 2]), np.arctan2(second[:, 0], first[:, 0])
    side = np.where(np.abs(third[:, 0]) > GIMBAL, np.sign(third[:, 0]), 0)
    locked = np.arctan2(-side * first[:, 1], -side * first[:, 2])
    yaw = np.where(side == 0, yaw, side * np.pi / 2)
    pitch, roll = np.where(side == 0, pitch, locked), np.where(side == 0, roll, 0.0)
    return np.stack([pitch, yaw, roll], axis=1), rows[:, :2, 3], norms.mean(axis=1)

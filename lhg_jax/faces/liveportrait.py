"""LivePortrait's motion extractor as a tracker: pose, implicit expression and place, as `liveportrait`.

Guo et al., *LivePortrait*, arXiv 2407.03168. The network sees an upright square around each face. It measures
place and size within that square, so they are brought back to one square for the whole clip: otherwise a
square that follows the head would take its movement away.
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.faces.alignment import Points
from lhg_jax.faces.detection import Image
from lhg_jax.faces.network import NetworkTracker, Parameters
from lhg_jax.liveportrait import crop
from lhg_jax.liveportrait.keypoints import degrees
from lhg_jax.liveportrait.networks import Call, load_motion, pixels
from lhg_jax.motion import LIVEPORTRAIT, CoefficientSpace

SCALE, UP = 2.3, -0.125  # of the square, as the renderer's
# Columns of `Parameters`: exp, angle (rad), t, scale, kp.
EXP, ANGLE, T, SIZE, KP = slice(0, 63), slice(63, 66), slice(66, 69), slice(69, 70), slice(70, 133)

# x and y of the square's centre and its side, pixels.
Places = Float[np.ndarray, "faces 3"]


def load(weights: Path | None) -> NetworkTracker:
    """The tracker with the network in a file, or in the renderer's folder."""
    return NetworkTracker(LivePortraitNetwork(load_motion(weights)))


@dataclasses.dataclass(frozen=True)
class LivePortraitNetwork:
    """Upright squares, the network, and motion from what it says (network.FaceNetwork)."""

    call: Call
    space: CoefficientSpace = LIVEPORTRAIT

    def crop(
        self, image: Image, landmarks: Points
    ) -> tuple[UInt8[np.ndarray, "256 256 3"], Float[np.ndarray, "3"]]:
        """The square, and where it lay (`Places`)."""
        box = crop.box(landmarks, SCALE, UP, turned=False)
        square = crop.halve(crop.cut(image, box.matrix(crop.DRAWN)))
        return square, np.array([*box.centre, box.side])

    def parameters(self, crops: UInt8[np.ndarray, "faces 256 256 3"]) -> Float[np.ndarray, "faces 133"]:
        """What the network says of RGB squares, one by one: published files take no more at once."""
        return np.concatenate([_columns(self.call(image=pixels(one[None]))) for one in crops])

    def values(self, parameters: Parameters, places: Places) -> Float[np.ndarray, "faces 70"]:
        """Motion values, place and size relative to the clip's median."""
        centre, side = places[:, :2], places[:, 2:]
        middle, usual = np.median(centre, axis=0), np.median(side)
        shift = 2 * (centre - middle) / usual + side / usual * parameters[:, T][:, :2]
        size = np.log(np.maximum(parameters[:, SIZE], 1e-3) * side / usual)
        trans = np.concatenate([shift - np.median(shift, axis=0), np.zeros((len(shift), 1))], axis=1)
        return np.concatenate(
            [parameters[:, EXP], parameters[:, ANGLE], trans, size - np.median(size)], axis=1
        )


def _columns(outputs: dict[str, np.ndarray]) -> Float[np.ndarray, "faces 133"]:
    angle = np.stack([np.deg2rad(degrees(outputs[name])) for name in ("pitch", "yaw", "roll")], axis=1)
    return np.concatenate(
        [outputs["exp"], angle.astype(np.float32), outputs["t"], outputs["scale"], outputs["kp"]], axis=1
    )

"""A motion in our `landmark` space as LivePortrait's pose and expression, without any training.

Poses go over in closed form. The expression goes by what is seen: how far lids and lips are open moves the
keypoints that follow them in the published driving templates, and what is left of smile, brows and pressed
lips goes to the published sliders (`editing.OFFSETS`).
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from lhg_jax import face_model
from lhg_jax.face_model import FaceAnchor, action_displacement, head_shape
from lhg_jax.liveportrait.crop import SEEN, Box
from lhg_jax.liveportrait.editing import offset
from lhg_jax.liveportrait.keypoints import Face, Points, eye_ratios, lip_ratio
from lhg_jax.motion import LANDMARK

Values = Float[np.ndarray, "frames 70"]

LARGEST_TURN = np.deg2rad(35.0)  # away from the portrait; hair and ears smear beyond
# LivePortrait turns the head about a point in the face, we about the ears, which lie behind it by so much of
# the crop's half width: a natural turn shifts its templates by 0.007 a degree.
PIVOT = np.array([0.0, 0.0, -0.4])
SCALE_SHARE = 0.5  # of a change of size: all of it lets the head pump with a tracker's noise
OPEN_EYE = 0.35  # ratio of an open eye that the keypoints' changes below are for
# Changes of exp for a unit of a ratio, measured on the published templates (1,151 frames).
LEFT_EYE = {(11, 1): -0.045, (13, 1): 0.010}
RIGHT_EYE = {(15, 1): -0.045, (16, 1): 0.010}
LIPS = {(19, 1): 0.12, (19, 2): 0.012, (17, 1): -0.012}
LIMITS = {(11, 1): (-0.03, 0.02), (15, 1): (-0.03, 0.02), (19, 1): (-0.06, 0.1)}  # of the published templates
# Our full action -> sliders and their settings.
SLIDERS = {
    "smile": {"smile": 1.0},
    "brow_raise": {"brows_up": 15.0},
    "frown": {"brows_down": -15.0},
    "lip_press": {"purse": 6.0, "lips_open": -10.0},
}
LIDS_AND_INNER_LIPS = (37, 38, 40, 41, 43, 44, 46, 47, *range(60, 68))  # what the ratios have told already


@dataclasses.dataclass(frozen=True)
class LandmarkDriver:
    """Moves one portrait's face by motions in `motion.LANDMARK`.

    Attributes:
      source: the portrait as LivePortrait's motion extractor measures it, one frame.
      box: the square that LivePortrait sees.
      anchor: the portrait's, by our tracker.
      reference: [70] the portrait as one frame of motion.
    """

    source: Face
    box: Box
    anchor: FaceAnchor
    reference: Float[np.ndarray, "70"]

    def __call__(self, values: Values) -> Face:
        """The face in each frame of `values`."""
        angle, trans = values[:, LANDMARK.slice("angle")], values[:, LANDMARK.slice("trans")]
        own = self.reference[LANDMARK.slice("angle")]
        angle = own + np.clip(angle - own, -LARGEST_TURN, LARGEST_TURN)
        turn = turned(self.source, own, angle)
        shift = self._shift(trans[:, :2]) + pivot_shift(self.box, own, angle)
        t = np.repeat(self.source.t, len(values), axis=0)
        t[:, :2] += shift
        scale = self.source.scale * np.exp(SCALE_SHARE * trans[:, 2:])
        exp = self.source.exp + self._expression(values[:, LANDMARK.slice("exp")])
        faces = Face(self.source.kp, turn, exp, scale, t)
        return dataclasses.replace(faces, **{k: v.astype(np.float32) for k, v in vars(faces).items()})

    def lip_closing(self, values: Values) -> Float[np.ndarray, "frames"]:
        """How much of the portrait's own open mouth is shut in each frame, 0 to 1."""
        exp = LANDMARK.slice("exp")
        own = lip_ratio(head_shape(self.anchor, self.reference[exp])[..., :2])[0]
        now = lip_ratio(head_shape(self.anchor, values[:, exp])[..., :2])[:, 0]
        return np.clip(1 - now / max(own, 1e-3), 0, 1)

    def _shift(self, trans: Float[np.ndarray, "frames 2"]) -> Float[np.ndarray, "frames 2"]:
        """Interocular distances of the picture -> half widths of the crop."""
        interocular = self.anchor.scale * SEEN / self.box.side  # pixels of the crop
        return trans @ in_plane(self.box).T * (2 * interocular / SEEN)

    def _expression(self, exp: Float[np.ndarray, "frames 64"]) -> Points:
        own = self.reference[LANDMARK.slice("exp")]
        change = ratio_changes(self.anchor, own, exp) + slider_changes(exp - own)
        for (keypoint, axis), (low, high) in LIMITS.items():
            change[:, keypoint, axis] = np.clip(change[:, keypoint, axis], low, high)
        return change


def in_plane(box: Box) -> Float[np.ndarray, "2 2"]:
    """Directions of the picture -> directions of the turned square."""
    cos, sin = np.cos(box.angle), np.sin(box.angle)
    return np.array([[cos, sin], [-sin, cos]])


def turned(
    source: Face, own: Float[np.ndarray, "3"], angle: Float[np.ndarray, "frames 3"]
) -> Float[np.ndarray, "frames 3 3"]:
    """Rotations (for row vectors) after the head turned from `own` to `angle` (rad).

    In columns R_s R(own)^T R(angle): neither the crop's own turn nor another zero of the angles matters.
    """
    relative = face_model.rotation(own).T @ face_model.rotation(angle)
    return np.swapaxes(relative, -1, -2) @ source.rotation


def pivot_shift(
    box: Box, own: Float[np.ndarray, "3"], angle: Float[np.ndarray, "frames 3"]
) -> Float[np.ndarray, "frames 2"]:
    """How a turn about the ears moves LivePortrait's pivot, half widths of the crop."""
    moved = (face_model.rotation(angle) - face_model.rotation(own)) @ PIVOT
    return moved[:, :2] @ in_plane(box).T


def ratio_changes(
    anchor: FaceAnchor, own: Float[np.ndarray, "64"], exp: Float[np.ndarray, "frames 64"]
) -> Points:
    """What opening and shutting of eyes and lips adds to the expression."""
    still, moved = head_shape(anchor, own)[..., :2], head_shape(anchor, exp)[..., :2]
    open_eyes = np.maximum(eye_ratios(still), 0.05)
    eyes = (eye_ratios(moved) - eye_ratios(still)) * OPEN_EYE / open_eyes
    lips = (lip_ratio(moved) - lip_ratio(still))[:, 0]
    change = np.zeros((len(exp), 21, 3))
    for ratio, rule in ((eyes[:, 0], LEFT_EYE), (eyes[:, 1], RIGHT_EYE), (lips, LIPS)):
        for (keypoint, axis), gain in rule.items():
            change[:, keypoint, axis] += gain * ratio
    return change


def slider_changes(departure: Float[np.ndarray, "frames 64"]) -> Points:
    """What smile, brows and pressed lips add, by non-negative least squares on the landmarks they move."""
    kept = np.setdiff1d(np.arange(68), LIDS_AND_INNER_LIPS)
    system = np.stack([action_displacement(name)[kept].ravel() for name in SLIDERS], axis=1)
    fields = np.tensordot(departure, face_model.modes(), axes=1)[:, kept, :2].reshape(len(departure), -1)
    amounts = np.stack([nnls(system, field)[0] for field in fields])
    steps = [sum(offset(s, setting) for s, setting in sliders.items()) for sliders in SLIDERS.values()]
    return np.tensordot(amounts, np.stack(steps), axes=1)

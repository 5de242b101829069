"""The default tracker: 68 landmarks, dlib's or others, and the spectral face model; space `landmark`."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax import face_model
from lhg_jax.face_model import TEMPLATE, FaceAnchor
from lhg_jax.faces import alignment, model_fitting, tracking_result
from lhg_jax.faces.face_tracking import follow
from lhg_jax.faces.tracking_result import PortraitFit, VideoFit
from lhg_jax.media import Frame
from lhg_jax.motion import LANDMARK, CoefficientSpace
from lhg_jax.util.errors import UserError

# A person's neutral face is estimated from at most so many frames, evenly spread over the clip.
IDENTITY_FRAMES = 300
# The part of each angle (pitch, yaw, roll) that the landmarks show, so that it is undone. Yaw: of real turns,
# by two networks that agree (mean of eight clips). Pitch: of what the mesh renderer draws, which shows too
# little of a nod; of a real one the landmarks show about all, so it comes out too large (docs/benchmarks.md).
DETECTED_TURN = np.array([0.8, 0.78, 1.0])
EXACT_TURN = np.ones(3)
IDENTITY_ROUNDS = 3  # of pose and neutral face in turn; the third moves the pose by less than 0.1 degrees


@dataclasses.dataclass(frozen=True)
class LandmarkPortrait(PortraitFit):
    """A face in a still image; trans is 0, because the image is its own anchor.

    Attributes:
      anchor: whose face, and where; `face_model.project(anchor, values)` gives `landmarks` back.
    """

    anchor: FaceAnchor


@dataclasses.dataclass(frozen=True)
class LandmarkVideo(VideoFit):
    """A face through a video.

    Attributes:
      anchor: median place and size, mean neutral face.
    """

    anchor: FaceAnchor


@dataclasses.dataclass(frozen=True)
class LandmarkTracker:
    """Tracks one face by its landmarks; holds no state between calls.

    Attributes:
      align: finds the landmarks in a box.
      space: of the motion.
    """

    align: alignment.Align = alignment.align
    space: CoefficientSpace = LANDMARK

    def track_image(
        self, image: UInt8[np.ndarray, "height width 3"], face: int | None = None
    ) -> LandmarkPortrait:
        """Fits the face in an RGB image.

        Args:
          image: RGB.
          face: which face, counted from the left from 0; None takes the largest, and warns if there are more.

        Raises:
          UserError: there is no face, or no face of that number.
        """
        box, warnings = tracking_result.choose(image, face)
        landmarks = self.align(image, box, alignment.STILL)
        values, anchor = fit_portrait(landmarks)
        return LandmarkPortrait(values, box, landmarks, warnings, anchor)

    def track_video(
        self, frames: Iterable[Frame], on_frame: Callable[[], None] | None = None
    ) -> LandmarkVideo:
        """Fits one face through a video: the largest when first found.

        Args:
          frames: at any rate, times increasing; read once, none is kept.
          on_frame: called after each frame, e.g. to move a progress bar.

        Raises:
          UserError: no frames, no face, or a face in less than half of the frames.
        """
        sightings = follow(frames, on_frame, align=self.align)
        found = tracking_result.require_face(sightings)
        values, anchor = fit_clip(sightings.landmarks)
        motion = tracking_result.to_motion(LANDMARK, values, sightings)
        return LandmarkVideo(motion, found, tracking_result.warnings_of(sightings), anchor)


def load(weights: Path | None) -> LandmarkTracker:
    """The tracker with dlib's points, whose weights are its package's. Raises `UserError` for others."""
    if weights:
        raise UserError("--tracker-weights: the landmark tracker takes none")
    return LandmarkTracker()


def fit_portrait(
    landmarks: Float[np.ndarray, "68 2"], detected_turn: Float[np.ndarray, "3"] = DETECTED_TURN
) -> tuple[Float[np.ndarray, "70"], FaceAnchor]:
    """Motion values and anchor of one image's landmarks (pixels), which they reproduce exactly.

    Expression is what usual actions (a smile, an open jaw...) explain of the departure from the template;
    the rest, with the landmarks' noise, is identity. `detected_turn` is the part of each angle that the
    landmarks show.
    """
    pose = model_fitting.fit_pose(landmarks[None], TEMPLATE, known_person=False)
    pose = dataclasses.replace(pose, angle=pose.angle / detected_turn)
    departure = model_fitting.head_coordinates(landmarks[None], pose, TEMPLATE[:, 2])[0] - TEMPLATE[:, :2]
    exp = model_fitting.portrait_expression(departure)
    identity = np.zeros_like(TEMPLATE)
    identity[:, :2] = departure
    identity -= np.tensordot(exp, face_model.modes(), axes=1)
    values = np.concatenate([exp, pose.angle[0], np.zeros(3)]).astype(np.float32)
    return values, FaceAnchor(pose.shift[0], float(np.exp(pose.log_scale[0])), identity)


def fit_clip(
    landmarks: Float[np.ndarray, "frames 68 2"], detected_turn: Float[np.ndarray, "3"] = DETECTED_TURN
) -> tuple[Float[np.ndarray, "frames 70"], FaceAnchor]:
    """Motion values, frame by frame, and the anchor of a clip's landmarks (pixels).

    `detected_turn` is the part of each angle that the landmarks show; where it is not 1, the projection of
    the values turns farther than the landmarks, in the same place.
    """
    identity = clip_identity(landmarks)
    pose, exp = fit_frames(landmarks, identity, detected_turn)
    origin_xy, log_scale = np.median(pose.shift, axis=0), np.median(pose.log_scale)
    anchor = FaceAnchor(origin_xy, float(np.exp(log_scale)), identity)
    trans = np.column_stack([(pose.shift - origin_xy) / anchor.scale, pose.log_scale - log_scale])
    return np.concatenate([exp, pose.angle, trans], axis=1), anchor


def fit_frames(
    landmarks: Float[np.ndarray, "frames 68 2"],
    identity: Float[np.ndarray, "68 3"],
    detected_turn: Float[np.ndarray, "3"] = DETECTED_TURN,
) -> tuple[model_fitting.Pose, Float[np.ndarray, "frames 64"]]:
    """Poses and expressions, frame by frame, of a person whose neutral face is known."""
    shape = TEMPLATE + identity
    seen = model_fitting.fit_pose(landmarks, shape, known_person=True)
    exp = model_fitting.fit_expression(landmarks, seen, shape)
    moved = shape + np.tensordot(exp, face_model.modes(), axes=1)
    return model_fitting.turned_in_place(seen, seen.angle / detected_turn, moved), exp


def clip_identity(landmarks: Float[np.ndarray, "frames 68 2"]) -> Float[np.ndarray, "68 3"]:
    """What a person's neutral face adds to the template: a clip's mean face less its mean expression."""
    step = -(-len(landmarks) // IDENTITY_FRAMES)
    some = landmarks[::step]
    pose = model_fitting.fit_pose(some, TEMPLATE, known_person=False)
    departure = np.zeros_like(TEMPLATE)
    for _ in range(IDENTITY_ROUNDS):
        departure = model_fitting.mean_departure(some, pose, departure)
        departure = model_fitting.without_pose(departure, pose.angle[:, 0].mean())
        pose = model_fitting.fit_pose(some, TEMPLATE + departure, known_person=True)
    exp = model_fitting.portrait_expression(departure[:, :2])
    return departure - np.tensordot(exp, face_model.modes(), axes=1)

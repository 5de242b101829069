"""The default tracker: dlib's 68 landmarks and the spectral face model, in the space `landmark`."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from lhg_jax import face_model
from lhg_jax.errors import UserError
from lhg_jax.face_model import TEMPLATE, FaceAnchor
from lhg_jax.faces import alignment, detection, fitting, resampling
from lhg_jax.faces.following import Sightings, follow, largest
from lhg_jax.media import Frame
from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion

# At least this share of a clip's frames must show the face (DESIGN section 10).
MIN_FOUND = 0.5
# A person's neutral face is estimated from at most so many frames, evenly spread over the clip.
IDENTITY_FRAMES = 300
# The trees draw a turned face too near to a frontal one: photographs warped by known pitch, yaw and roll up
# to ±12 degrees come back at these parts of it (0.70-0.79, 0.83-0.89, 0.97-1.0 on four), so they are undone.
DETECTED_TURN = np.array([0.8, 0.9, 1.0])
EXACT_TURN = np.ones(3)
IDENTITY_ROUNDS = 3  # of pose and neutral face in turn; the third moves the pose by less than 0.1 degrees


@dataclasses.dataclass(frozen=True)
class PortraitFit:
    """A face in a still image.

    Attributes:
      values: the image as one frame of motion (trans is 0: the image is its own anchor).
      anchor: whose face, and where; `face_model.project(anchor, values)` gives `landmarks` back.
      box: left, top, right, bottom of the detection, pixels.
      landmarks: pixels.
      warnings: what the user should know.
    """

    values: Float[np.ndarray, "70"]
    anchor: FaceAnchor
    box: Float[np.ndarray, "4"]
    landmarks: Float[np.ndarray, "68 2"]
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class VideoFit:
    """A face through a video.

    Attributes:
      motion: 30 frames/s, smoothed; `valid` marks frames in which the face was seen.
      anchor: median place and size, mean neutral face.
      found: share of the video's frames in which a face was found, in [0.5, 1].
      warnings: what the user should know.
    """

    motion: Motion
    anchor: FaceAnchor
    found: float
    warnings: list[str]


class LandmarkTracker:
    """Tracks one face with dlib landmarks; holds no state between calls."""

    space = LANDMARK

    def track_image(self, image: UInt8[np.ndarray, "height width 3"], face: int | None = None) -> PortraitFit:
        """Fits the face in an RGB image.

        Args:
          image: RGB.
          face: which face, counted from the left from 0; None takes the largest, and warns if there are more.

        Raises:
          UserError: there is no face, or no face of that number.
        """
        boxes = detection.find_faces(image, detection.STILL_SIDES)
        box, warnings = _choose(boxes, face)
        landmarks = alignment.align(image, box, alignment.STILL)
        values, anchor = fit_portrait(landmarks)
        return PortraitFit(values, anchor, box, landmarks, warnings)

    def track_video(self, frames: Iterable[Frame], on_frame: Callable[[], None] | None = None) -> VideoFit:
        """Fits one face through a video: the largest when first found.

        Args:
          frames: at any rate, times increasing; read once, none is kept.
          on_frame: called after each frame, e.g. to move a progress bar.

        Raises:
          UserError: no frames, no face, or a face in less than half of the frames.
        """
        sightings = follow(frames, on_frame)
        found = _require_face(sightings)
        values, anchor = fit_clip(sightings.landmarks)
        motion = _to_motion(values, sightings)
        return VideoFit(motion, anchor, found, _warnings(sightings))


def load(weights: Path | None) -> LandmarkTracker:
    """The tracker. Its weights are those of dlib's package; `UserError` where others are named."""
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
    pose = fitting.fit_pose(landmarks[None], TEMPLATE, known_person=False)
    pose = dataclasses.replace(pose, angle=pose.angle / detected_turn)
    departure = fitting.head_coordinates(landmarks[None], pose, TEMPLATE[:, 2])[0] - TEMPLATE[:, :2]
    exp = fitting.portrait_expression(departure)
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
    the values turns farther than the landmarks.
    """
    identity = clip_identity(landmarks)
    shape = TEMPLATE + identity
    pose = fitting.fit_pose(landmarks, shape, known_person=True)
    exp = fitting.fit_expression(landmarks, pose, shape)
    origin_xy, log_scale = np.median(pose.shift, axis=0), np.median(pose.log_scale)
    anchor = FaceAnchor(origin_xy, float(np.exp(log_scale)), identity)
    trans = np.column_stack([(pose.shift - origin_xy) / anchor.scale, pose.log_scale - log_scale])
    return np.concatenate([exp, pose.angle / detected_turn, trans], axis=1), anchor


def clip_identity(landmarks: Float[np.ndarray, "frames 68 2"]) -> Float[np.ndarray, "68 3"]:
    """What a person's neutral face adds to the template: a clip's mean face less its mean expression."""
    step = -(-len(landmarks) // IDENTITY_FRAMES)
    some = landmarks[::step]
    pose = fitting.fit_pose(some, TEMPLATE, known_person=False)
    departure = np.zeros_like(TEMPLATE)
    for _ in range(IDENTITY_ROUNDS):
        departure = fitting.mean_departure(some, pose, departure)
        departure = fitting.without_pose(departure, pose.angle[:, 0].mean())
        pose = fitting.fit_pose(some, TEMPLATE + departure, known_person=True)
    exp = fitting.portrait_expression(departure[:, :2])
    return departure - np.tensordot(exp, face_model.modes(), axes=1)


def _choose(boxes: list[detection.Box], face: int | None) -> tuple[detection.Box, list[str]]:
    if not boxes:
        raise UserError("no face found (it must be upright, roughly frontal and 40 pixels wide or more)")
    if face is not None:
        if not 0 <= face < len(boxes):
            raise UserError(f"no face number {face}: {len(boxes)} found, counted from the left from 0")
        return boxes[face], []
    box = largest(boxes)
    assert box is not None
    if len(boxes) == 1:
        return box, []
    number = next(i for i, other in enumerate(boxes) if other is box)
    return box, [
        f"{len(boxes)} faces found: the largest is taken, --face {number} (counted from the left from 0)"
    ]


def _require_face(sightings: Sightings) -> float:
    """The share of frames with a face, if that is enough."""
    count, seen = len(sightings.seen), int(sightings.seen.sum())
    if count == 0:
        raise UserError("no frames to find a face in")
    if seen == 0:
        raise UserError(f"no face found in any of {count} frames (it must be upright and roughly frontal)")
    if seen < MIN_FOUND * count:
        raise UserError(
            f"the face is lost in {count - seen} of {count} frames (at least half must show it upright and "
            "roughly frontal; cut the clip to where it does)"
        )
    return seen / count


def _to_motion(values: Float[np.ndarray, "seen 70"], sightings: Sightings) -> Motion:
    """Resamples measurements to smooth motion at 30 frames/s from time 0."""
    count = max(1, int(np.ceil(sightings.end_s * FRAME_RATE - 1e-6)))
    at_s = (np.arange(count) + 0.5) / FRAME_RATE
    index, knots_s = resampling.hold_through_gaps(sightings.centres_s[sightings.seen])
    pose = resampling.smoothing_matrix(knots_s, at_s, resampling.POSE_HALF_WIDTH_S) @ values[index]
    exp = resampling.smoothing_matrix(knots_s, at_s, resampling.EXPRESSION_HALF_WIDTH_S) @ values[index]
    part = LANDMARK.slice("exp")
    pose[:, part] = exp[:, part]
    return Motion(LANDMARK, pose.astype(np.float32), FRAME_RATE, _valid(at_s, sightings))


def _valid(
    at_s: Float[np.ndarray, "motion_frames"], sightings: Sightings
) -> Bool[np.ndarray, "motion_frames"]:
    """Whether the frame that is shown at each time shows the face."""
    shown = np.searchsorted(sightings.starts_s, at_s, side="right") - 1
    return (shown >= 0) & sightings.seen[np.maximum(shown, 0)]


def _warnings(sightings: Sightings) -> list[str]:
    warnings = []
    if sightings.first_count > 1:
        warnings.append(f"{sightings.first_count} faces found: the largest is followed")
    lost, count = int((~sightings.seen).sum()), len(sightings.seen)
    if lost:
        edges_s = np.append(sightings.starts_s, sightings.end_s)
        lengths_s = [edges_s[end] - edges_s[start] for start, end in resampling.gaps(sightings.seen)]
        longest_s = max(lengths_s, default=0.0)
        is_short = longest_s <= resampling.MAX_GAP_S
        bridged = "interpolated" if is_short else "held still but for the last second"
        warnings.append(f"the face is lost in {lost} of {count} frames, {longest_s:.1f} s at most: {bridged}")
    return warnings

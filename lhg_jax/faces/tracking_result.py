"""What every tracker gives back, and what all of them do with the frames in which a face was seen."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.faces import detection, resampling
from lhg_jax.faces.detection import Box, Image
from lhg_jax.faces.face_tracking import Detections, largest
from lhg_jax.motion import FRAME_RATE, CoefficientSpace, Motion
from lhg_jax.util.errors import UserError

# At least this share of a clip's frames must show the face (DESIGN section 10).
MIN_FOUND = 0.5


class NoFaceError(UserError):
    """A still image shows no face that is large enough, or none of that number."""


@dataclasses.dataclass(frozen=True)
class PortraitFit:
    """A face in a still image.

    Attributes:
      values: the image as one frame of motion.
      box: left, top, right, bottom of the detection, pixels.
      landmarks: pixels.
      warnings: what the user should know.
    """

    values: Float[np.ndarray, "coeff"]
    box: Box
    landmarks: Float[np.ndarray, "68 2"]
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class VideoFit:
    """A face through a video.

    Attributes:
      motion: 30 frames/s, smoothed; `valid` marks frames in which the face was seen.
      found: share of the video's frames in which a face was found, in [0.5, 1].
      warnings: what the user should know.
    """

    motion: Motion
    found: float
    warnings: list[str]


def choose(image: Image, face: int | None) -> tuple[Box, list[str]]:
    """The face of that number from the left in a still image, or the largest; and what the user should know.

    Raises `NoFaceError` where there is no face, or none of that number.
    """
    sides = detection.still_sides(image)
    boxes = detection.find_faces(image, sides)
    if not boxes:
        width = detection.smallest_face(image, sides)
        raise NoFaceError(
            f"no face found (it must be upright, roughly frontal and, in a picture of this size, {width} "
            "pixels wide or more)"
        )
    if face is not None:
        if not 0 <= face < len(boxes):
            raise NoFaceError(f"no face number {face}: {len(boxes)} found, counted from the left from 0")
        return boxes[face], []
    box = largest(boxes)
    assert box is not None
    if len(boxes) == 1:
        return box, []
    number = next(i for i, other in enumerate(boxes) if other is box)
    return box, [
        f"{len(boxes)} faces found: the largest is taken, --face {number} (counted from the left from 0)"
    ]


def require_face(sightings: Detections) -> float:
    """The share of frames with a face. Raises `UserError` if that is less than `MIN_FOUND`."""
    count, seen = len(sightings.seen), int(sightings.seen.sum())
    if count == 0:
        raise UserError("no frames to find a face in")
    if seen == 0:
        part = round(max(detection.SEARCH_SIDES) / detection.DETECTED_FACE)
        raise UserError(
            f"no face found in any of {count} frames (it must be upright, roughly frontal and 1/{part} of "
            "the picture's longer side wide or more)"
        )
    if seen < MIN_FOUND * count:
        raise UserError(
            f"the face is lost in {count - seen} of {count} frames (at least half must show it upright and "
            "roughly frontal; cut the clip to where it does)"
        )
    return seen / count


def to_motion(
    space: CoefficientSpace, values: Float[np.ndarray, "seen coeff"], sightings: Detections
) -> Motion:
    """Resamples measurements to smooth motion at 30 frames/s from time 0."""
    count = max(1, int(np.ceil(sightings.end_s * FRAME_RATE - 1e-6)))
    at_s = (np.arange(count) + 0.5) / FRAME_RATE
    index, knots_s = resampling.hold_through_gaps(sightings.centres_s[sightings.seen])
    pose = resampling.smoothing_matrix(knots_s, at_s, resampling.POSE_HALF_WIDTH_S) @ values[index]
    exp = resampling.smoothing_matrix(knots_s, at_s, resampling.EXPRESSION_HALF_WIDTH_S) @ values[index]
    part = space.slice("exp")
    pose[:, part] = exp[:, part]
    return Motion(space, pose.astype(np.float32), FRAME_RATE, _valid(at_s, sightings))


def _valid(
    at_s: Float[np.ndarray, "motion_frames"], sightings: Detections
) -> Bool[np.ndarray, "motion_frames"]:
    """Whether the frame that is shown at each time shows the face."""
    shown = np.searchsorted(sightings.starts_s, at_s, side="right") - 1
    return (shown >= 0) & sightings.seen[np.maximum(shown, 0)]


def warnings_of(sightings: Detections) -> list[str]:
    """Other faces, and gaps."""
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

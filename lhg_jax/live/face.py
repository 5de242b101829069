"""The speaker's face in pictures at any rate: motion relative to a moving anchor, 30 times a second."""

import numpy as np
from jaxtyping import Float

from lhg_jax.face_model import FaceAnchor
from lhg_jax.faces import alignment, detection
from lhg_jax.faces.detection import Box, Image
from lhg_jax.faces.face_tracking import largest
from lhg_jax.faces.landmark import fit_clip, fit_frames, fit_portrait
from lhg_jax.motion import FRAME_RATE, LANDMARK
from lhg_jax.moving_anchor import BEGIN_FRAMES, MovingAnchor

SMOOTH_S = 0.05  # time constant with which the motion follows the last picture: pictures tremble, and step
HOLD_S = 0.5  # a face that was not found for so long is lost ...
FADE_S = 1.0  # ... and its motion fades within so long; so does that of a face that is found again
REBEGIN_S = 2.0  # after so long without a face, whoever comes is met anew


class LiveFace:
    """Follows the largest face; what it measures of it is `follow()`, once for each model frame.

    The neutral face is that of the first picture until there is a second of pictures, from then on theirs.
    """

    def __init__(self) -> None:
        self._box: Box | None = None
        self._pictures: list[np.ndarray] = []  # landmarks of the first second
        self._person: FaceAnchor | None = None
        self._measured: Float[np.ndarray, "70"] | None = None
        self._value = np.zeros(LANDMARK.size)
        self._anchor = MovingAnchor()
        self._unseen_s, self._share = np.inf, 0.0

    def push(self, image: Image) -> bool:
        """Takes a picture (RGB); says whether a face was found in it."""
        box = None if self._box is None else detection.find_near(image, self._box)
        if box is None:
            boxes = detection.find_faces(image, detection.SEARCH_SIDES[:1])
            box = largest(boxes) if self._box is None else detection.nearest(boxes, self._box)
        if box is None:
            return False
        if self._unseen_s > REBEGIN_S:
            self._meet()
        self._box, self._unseen_s = box, 0.0
        self._measure(alignment.align(image, box, alignment.FRAME))
        return True

    def follow(self) -> tuple[Float[np.ndarray, "70"], bool]:
        """Motion of the next model frame, relative to the moving anchor, and whether there is any."""
        self._unseen_s += 1 / FRAME_RATE
        step = 1 / (FADE_S * FRAME_RATE)
        self._share = float(np.clip(self._share + (step if self._unseen_s <= HOLD_S else -step), 0, 1))
        if self._measured is None or self._share == 0:
            return np.zeros(LANDMARK.size, np.float32), False
        self._value += (1 - np.exp(-1 / (SMOOTH_S * FRAME_RATE))) * (self._measured - self._value)
        if self._unseen_s <= HOLD_S:
            self._anchor = self._anchor.follow(self._value)
        assert self._anchor.mean is not None
        return (self._share * (self._value - self._anchor.mean)).astype(np.float32), True

    def _meet(self) -> None:
        """Forgets whom it has seen before."""
        self._pictures, self._person, self._measured = [], None, None
        self._anchor = MovingAnchor()

    def _measure(self, landmarks: Float[np.ndarray, "68 2"]) -> None:
        if self._person is None:
            _, self._person = fit_portrait(landmarks)
            self._value = fit_frame(landmarks, self._person)
        self._measured = fit_frame(landmarks, self._person)
        if self._anchor.frames < BEGIN_FRAMES:
            self._pictures.append(landmarks)
        elif self._pictures:
            self._know(landmarks)

    def _know(self, landmarks: Float[np.ndarray, "68 2"]) -> None:
        """Takes the neutral face from the first second; what is measured goes on without a step."""
        assert self._measured is not None and self._anchor.mean is not None
        _, self._person = fit_clip(np.stack(self._pictures).astype(np.float32))
        self._pictures = []
        known = fit_frame(landmarks, self._person)
        moved, self._measured = known - self._measured, known
        self._value = self._value + moved
        self._anchor = MovingAnchor(self._anchor.mean + moved, self._anchor.frames)


def fit_frame(landmarks: Float[np.ndarray, "68 2"], person: FaceAnchor) -> Float[np.ndarray, "70"]:
    """Motion values of one picture of a person whose neutral face and place are known."""
    pose, exp = fit_frames(landmarks[None], person.identity)
    place = (pose.shift - person.origin_xy) / person.scale
    size = pose.log_scale[:, None] - np.log(person.scale)
    return np.concatenate([exp, pose.angle, place, size], axis=1)[0]

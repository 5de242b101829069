"""Finding faces in one image, and a face near where it was.

A box is (left, top, right, bottom) in pixels of the full image, float64.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.faces import dlib_models

Image = UInt8[np.ndarray, "height width 3"]
Box = Float[np.ndarray, "4"]

# Longest side (pixels) at which a whole image is searched: first fast, then for faces four times smaller.
SEARCH_SIDES = (640, 1280)
# The other way round for a still image, where a smaller second face must not be overlooked; then for a face
# that is small in a large photograph, up to twice the photograph's own size.
STILL_SIDES = (1280, 640)
LARGE_SIDES = (2560, 5120)
DETECTED_FACE = 60.0  # width (pixels) of the smallest face that the detector sees: 56 to 60 of two people
# In a crop around the last box the face is brought to about this size; the detector needs 80.
TRACKED_FACE = 110.0
# The crop's side over the box's side: room for a head that moves half its width between frames.
CROP_MARGIN = 2.0
# In a whole image, weaker detections than this are mostly no faces (seen: false 0.1, true 0.8 to 2.4). They
# count only where there is nothing better.
CLEAR_SCORE = 0.3


def find_faces(image: Image, sides: tuple[int, ...] = SEARCH_SIDES) -> list[Box]:
    """Boxes of the faces in a whole image, from left to right; a finer search follows one that finds none."""
    boxes: list[Box] = []
    for side in sides:
        scale = side / max(image.shape[:2])
        boxes, scores = _detect(image, np.zeros(2), scale)
        clear = [box for box, score in zip(boxes, scores, strict=True) if score >= CLEAR_SCORE]
        # The finest searches find something in everything: only clear faces count there.
        if boxes := clear or (boxes if side not in LARGE_SIDES else []):
            break
    return sorted(boxes, key=lambda box: box[0] + box[2])


def still_sides(image: Image) -> tuple[int, ...]:
    """The sizes (longest side in pixels) at which a still image is searched."""
    return STILL_SIDES + tuple(side for side in LARGE_SIDES if side <= 2 * max(image.shape[:2]))


def smallest_face(image: Image, sides: tuple[int, ...]) -> int:
    """Width in pixels of the smallest face that a search at these sizes finds."""
    return round(DETECTED_FACE * max(image.shape[:2]) / max(sides))


def find_near(image: Image, last: Box) -> Box | None:
    """The face closest to where it was in the last frame, searched in a crop around there; None if lost."""
    height, width = image.shape[:2]
    side = last[2] - last[0]
    centre = (last[:2] + last[2:]) / 2
    low = np.clip(centre - CROP_MARGIN / 2 * side, 0, [width, height]).astype(int)
    high = np.clip(centre + CROP_MARGIN / 2 * side, 0, [width, height]).astype(int)
    if (high - low).min() < side / 2:
        return None
    crop = image[low[1] : high[1], low[0] : high[0]]
    boxes, _ = _detect(crop, low.astype(float), TRACKED_FACE / side)
    return nearest(boxes, last)


def nearest(boxes: list[Box], last: Box) -> Box | None:
    """The box most like `last` in place and size; None if there is none."""

    def difference(box: Box) -> float:
        side, last_side = box[2] - box[0], last[2] - last[0]
        moved = np.linalg.norm((box[:2] + box[2:] - last[:2] - last[2:]) / 2) / last_side
        return float(moved + abs(np.log(side / last_side)))

    return min(boxes, key=difference, default=None)


def _detect(image: Image, offset: Float[np.ndarray, "2"], scale: float) -> tuple[list[Box], list[float]]:
    """Boxes and scores in an image resized by `scale`; boxes in pixels before resizing, moved by `offset`."""
    width, height = (max(1, round(scale * length)) for length in image.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (width, height), interpolation=method)
    found, scores, _ = dlib_models.frontal_detector().run(gray, 0, 0.0)
    corners = [np.array([r.left(), r.top(), r.right() + 1, r.bottom() + 1], np.float64) for r in found]
    return [corner / scale + np.tile(offset, 2) for corner in corners], list(scores)

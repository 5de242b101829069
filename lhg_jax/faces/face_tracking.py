"""One face through a stream of frames: only its landmarks are kept, never the frames."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.faces import alignment, detection
from lhg_jax.faces.detection import Box, Image
from lhg_jax.media import Frame

# While the face is lost, the slow search for small faces runs at most this often (seconds of video).
FINE_SEARCH_PERIOD_S = 0.5
DEFAULT_SPAN_S = 1 / 30  # how long the only frame of a one-frame clip is shown


@dataclasses.dataclass(frozen=True)
class Detections:
    """Where a face was seen.

    Attributes:
      starts_s, end_s: when each frame begins to be shown, and when the last one ends (s).
      seen: whether a face was found in the frame.
      landmarks: of the seen frames, pixels.
      first_count: how many faces there were when the face was first found.
    """

    starts_s: Float[np.ndarray, "frames"]
    end_s: float
    seen: Bool[np.ndarray, "frames"]
    landmarks: Float[np.ndarray, "seen 68 2"]
    first_count: int

    @property
    def centres_s(self) -> Float[np.ndarray, "frames"]:
        """Middles of the frames' spans."""
        return (self.starts_s + np.append(self.starts_s[1:], self.end_s)) / 2


def largest(boxes: list[Box]) -> Box | None:
    """The box of the largest area; None if there is none."""
    return max(boxes, key=lambda box: float(np.prod(box[2:] - box[:2])), default=None)


def follow(
    frames: Iterable[Frame],
    on_frame: Callable[[], None] | None = None,
    on_face: Callable[[Image, alignment.Points], None] | None = None,
    align: alignment.Align = alignment.align,
) -> Detections:
    """Follows the face that is largest when first found, frame by frame.

    `on_frame` is called after each frame; before that, where the face was found, `on_face` with the image and
    the landmarks (pixels): for what needs more of the image than these. `align` finds the landmarks.
    """
    search, starts_s, found = _Search(), [], []
    for frame in frames:
        starts_s.append(frame.time_s)
        box = search.next_box(frame.image, frame.time_s)
        shape = None if box is None else align(frame.image, box, alignment.FRAME)
        found.append(None if shape is None else shape.astype(np.float32))
        if shape is not None and on_face is not None:
            on_face(frame.image, shape)
        if on_frame is not None:
            on_frame()
    last_span_s = float(np.median(np.diff(starts_s))) if len(starts_s) > 1 else DEFAULT_SPAN_S
    return Detections(
        starts_s=np.array(starts_s, np.float64),
        end_s=starts_s[-1] + last_span_s if starts_s else 0.0,
        seen=np.array([shape is not None for shape in found], bool),
        landmarks=np.array([shape for shape in found if shape is not None], np.float32).reshape(-1, 68, 2),
        first_count=search.first_count,
    )


class _Search:
    """Looks where the face was; in the whole image when it is not there."""

    def __init__(self) -> None:
        self.last: Box | None = None  # where it was last seen
        self.tracking = False
        self.first_count = 0
        self.next_fine_s = -np.inf

    def next_box(self, image: Image, time_s: float) -> Box | None:
        box = detection.find_near(image, self.last) if self.tracking and self.last is not None else None
        box = box if box is not None else self._search_all(image, time_s)
        self.tracking = box is not None
        self.last = self.last if box is None else box
        return box

    def _search_all(self, image: Image, time_s: float) -> Box | None:
        fine = time_s >= self.next_fine_s
        boxes = detection.find_faces(image, detection.SEARCH_SIDES[: 2 if fine else 1])
        if fine and not boxes:
            self.next_fine_s = time_s + FINE_SEARCH_PERIOD_S
        self.first_count = self.first_count or len(boxes)
        return largest(boxes) if self.last is None else detection.nearest(boxes, self.last)

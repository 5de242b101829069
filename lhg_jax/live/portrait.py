"""The listener's picture, made ready for a live session: head and shoulders, in the size of the frames."""

import numpy as np
from jaxtyping import UInt8

from lhg_jax.faces import tracking_result
from lhg_jax.media import at_most, decode_image

Image = UInt8[np.ndarray, "height width 3"]
Smaller = UInt8[np.ndarray, "height2 width2 3"]

MAX_SOURCE = 1920  # pixels: longest side in which a face is looked for
FRAMED = 2.6  # sides of the face's box that are shown: hair and shoulders are in
WHOLE = 0.75  # of the picture's shorter side: what would be cut off then is not worth it
ABOVE = 0.46  # where the box's middle stands in the height


def read_portrait(picture: Image | bytes) -> Smaller:
    """A picture, or the file of one, no larger than needed. Raises `UserError` for a file that is none."""
    image = decode_image(picture, "the portrait") if isinstance(picture, bytes) else picture
    return at_most(image, MAX_SOURCE)


def frame_head(image: Image, size: int) -> Smaller:
    """Head and shoulders of the largest face, at most `size` pixels a side; small pictures are not enlarged.

    A picture that shows hardly more than that stays whole.

    Raises `UserError` where there is no face.
    """
    box, _ = tracking_result.choose(image, None)
    side = FRAMED * float(max(box[2:] - box[:2]))
    height, width = image.shape[:2]
    if side > WHOLE * min(height, width):
        return at_most(image, size)
    rows = _span(float(box[1] + box[3]) / 2, side, ABOVE, height)
    columns = _span(float(box[0] + box[2]) / 2, side, 0.5, width)
    return at_most(np.ascontiguousarray(image[rows, columns]), size)


def _span(middle: float, side: float, part: float, length: int) -> slice:
    """`side` pixels around the middle, moved into the picture; all of it where it is no longer than that."""
    side = min(round(side), length)
    start = int(np.clip(round(middle - part * side), 0, length - side))
    return slice(start, start + side)

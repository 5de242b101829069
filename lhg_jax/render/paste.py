"""A square of a portrait that a network redraws, and its way back that leaves hair, neck and background."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from lhg_jax.render.smoothstep import smoothstep

FEATHER = 0.08  # of the square's side: how far from the face's outline the redrawn face has taken over
FOREHEAD = 0.3  # of the way from chin to brows, by which the face goes on above the brows: below most fringes


@dataclasses.dataclass(frozen=True)
class Square:
    """Part of an image: its left and top edge and its side, pixels; it may reach beyond the image."""

    left: int
    top: int
    side: int

    def cut(self, image: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
        """The part, `size` pixels wide (bicubic); beyond the image its edge goes on."""
        height, width = image.shape[:2]
        rows = np.clip(np.arange(self.top, self.top + self.side), 0, height - 1)
        columns = np.clip(np.arange(self.left, self.left + self.side), 0, width - 1)
        part = Image.fromarray(np.ascontiguousarray(image[rows[:, None], columns]))
        return np.asarray(part.resize((size, size), Image.Resampling.BICUBIC))

    def inside(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """(rows, columns) of the image that the square covers, and the same counted from its corner."""
        image, square = [], []
        for start, length in ((self.top, height), (self.left, width)):
            low, high = max(start, 0), min(start + self.side, length)
            image.append(slice(low, max(low, high)))
            square.append(slice(low - start, max(low, high) - start))
        return (image[0], image[1]), (square[0], square[1])


class Paste:
    """Puts redrawn squares back into a portrait; what lies outside the face stays bit for bit."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        square: Square,
        landmarks: Float[np.ndarray, "68 2"],
    ):
        """`landmarks` are those of the portrait's face, iBUG order, pixels of the portrait."""
        self.portrait, self.square = portrait, square
        self._image, self._square = square.inside(*portrait.shape[:2])
        mask = face_mask(square, landmarks)[self._square]
        self._mask = mask[..., None]
        self._kept = portrait[self._image].astype(np.float32)

    def __call__(self, drawn: Float[np.ndarray, "size size 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """The portrait with this square (values in [0, 255]) in its place."""
        side = self.square.side
        shrinks = side < len(drawn)
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        resized = cv2.resize(drawn, (side, side), interpolation=method)[self._square]
        frame = self.portrait.copy()
        blend = self._kept + self._mask * (np.clip(resized, 0, 255) - self._kept)
        frame[self._image] = np.round(blend).astype(np.uint8)
        return frame


def face_mask(square: Square, landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "side side"]:
    """1 inside the face, 0 from its outline outwards, smooth between; the square's own edge is 0 as well."""
    jaw, brows = landmarks[:17], landmarks[17:27]
    up = FOREHEAD * (brows.mean(axis=0) - landmarks[8])
    outline = np.concatenate([jaw, brows, brows + up]) - [square.left, square.top]
    filled = np.zeros((square.side + 2, square.side + 2), np.uint8)  # with a border that is never face
    cv2.fillConvexPoly(filled, cv2.convexHull(np.round(outline + 1).astype(np.int32)), 1)
    filled[[0, -1]] = filled[:, [0, -1]] = 0
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return smoothstep((depth - 1) / (FEATHER * square.side)).astype(np.float32)

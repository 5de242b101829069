"""The square of a picture that LivePortrait redraws: where it lies, how it is cut, and its way back.

Guo et al., *LivePortrait*, arXiv 2407.03168, with the published program's boxes. The square is upright to the
face: it turns with the line between the eyes.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8

DRAWN = 512  # pixels of the square as it is drawn
SEEN = 256  # pixels of the square as the networks see it
SCALE, UP = 2.3, -0.125  # of the portrait's square: side over the landmarks' extent, shift along the face
FEATHER, FRAME = 16.0, 16  # pixels of the square: how wide the border fades, and how far in it begins
# Corners of the eyes (left, left, right, right) and of the mouth, by the number of landmarks.
CORNERS = {
    68: ((36, 39, 42, 45), (48, 54)),
    106: ((33, 35, 40, 39, 87, 89, 94, 93), (52, 61)),
    203: ((0, 6, 12, 18, 24, 30, 36, 42), (48, 66)),
}

Landmarks = Float[np.ndarray, "points 2"]
Matrix = Float[np.ndarray, "2 3"]
Image = UInt8[np.ndarray, "height width 3"]
Square = UInt8[np.ndarray, "side side 3"]


@dataclasses.dataclass(frozen=True)
class Box:
    """A turned square: centre (x, y) and side in pixels, angle in rad, clockwise."""

    centre: Float[np.ndarray, "2"]
    side: float
    angle: float

    def matrix(self, size: int) -> Matrix:
        """Picture -> square of `size` pixels."""
        zoom = size / self.side
        cos, sin = zoom * np.cos(self.angle), zoom * np.sin(self.angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        return np.concatenate([turn, (size / 2 - turn @ self.centre)[:, None]], axis=1)


def axes(landmarks: Landmarks) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Unit vectors across and down the face, from the eyes' and the mouth's corners."""
    eyes, mouth = CORNERS[len(landmarks)]
    half = len(eyes) // 2
    centres = [landmarks[list(part)].mean(axis=0) for part in (eyes[:half], eyes[half:], mouth)]
    down = centres[2] - (centres[0] + centres[1]) / 2
    length = np.linalg.norm(down)
    down = down / length if length > 1e-3 else np.array([0.0, 1.0])
    return np.array([down[1], -down[0]]), down


def box(landmarks: Landmarks, scale: float = SCALE, up: float = UP, turned: bool = True) -> Box:
    """The square around a face.

    Args:
      landmarks: 68 (iBUG), 106 or 203 points, pixels.
      scale: side over the larger extent of all landmarks along the face's axes.
      up: shift along the face in sides; negative is towards the hair.
      turned: whether the square turns with the face.
    """
    across, down = axes(landmarks)
    frame = np.stack([across, down], axis=1)
    middle = landmarks.mean(axis=0)
    local = (landmarks - middle) @ frame
    low, high = local.min(axis=0), local.max(axis=0)
    side = float((high - low).max() * scale)
    centre = middle + frame @ ((low + high) / 2) + up * side * down
    angle = float(np.arctan2(across[1], across[0])) if turned else 0.0
    return Box(centre, side, angle)


def cut(image: Image, matrix: Matrix, size: int = DRAWN, border: int = cv2.BORDER_REPLICATE) -> Square:
    """The square of a picture (bilinear).

    Beyond the picture its edge goes on: the generator draws black where it saw black. The published program
    cuts with black borders (`cv2.BORDER_CONSTANT`).
    """
    return cv2.warpAffine(
        image, matrix.astype(np.float32), (size, size), flags=cv2.INTER_LINEAR, borderMode=border
    )


def halve(square: UInt8[np.ndarray, "512 512 3"]) -> UInt8[np.ndarray, "256 256 3"]:
    """512 -> 256 pixels, the mean of four."""
    return cv2.resize(square, (SEEN, SEEN), interpolation=cv2.INTER_AREA)


def border_mask(size: int = DRAWN) -> UInt8[np.ndarray, "size size"]:
    """255 inside, fading to 0 over the last pixels before the square's border."""
    steps = np.arange(size, dtype=np.float64)
    outside = np.maximum(np.maximum(FRAME - steps, steps - (size - FRAME)), 0)
    distance = np.hypot(outside[:, None], outside[None])
    return np.floor(255 * np.clip(1 - distance / FEATHER, 0, 1)).astype(np.uint8)


class PasteBack:
    """Puts drawn squares back into a picture, inside the square's bounds alone."""

    def __init__(self, picture: Image, matrix: Matrix, mask: UInt8[np.ndarray, "size size"] | None = None):
        """`matrix` is picture -> square; `mask` is `border_mask`'s where none is given."""
        self._picture = picture
        inverse = cv2.invertAffineTransform(matrix.astype(np.float64))
        corners = (
            np.array([[0, 0], [DRAWN, 0], [0, DRAWN], [DRAWN, DRAWN]]) @ inverse[:, :2].T + inverse[:, 2]
        )
        sizes = np.array(picture.shape[1::-1])
        low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, sizes)
        high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, 0, sizes)
        self._window = slice(low[1], high[1]), slice(low[0], high[0])
        self._size = (max(int(high[0] - low[0]), 0), max(int(high[1] - low[1]), 0))
        self._inverse = inverse.copy()
        self._inverse[:, 2] -= low
        mask = border_mask() if mask is None else mask
        self._alpha = self._warp(np.repeat(mask[..., None], 3, axis=2)) if all(self._size) else None

    def _warp(self, square: np.ndarray) -> Float[np.ndarray, "rows columns 3"]:
        return cv2.warpAffine(square, self._inverse, self._size, flags=cv2.INTER_LINEAR).astype(np.float32)

    def __call__(self, drawn: UInt8[np.ndarray, "512 512 3"]) -> Image:
        """The picture with this square in its place."""
        frame = self._picture.copy()
        if self._alpha is not None:
            alpha = self._alpha / 255
            blend = alpha * self._warp(drawn) + (1 - alpha) * frame[self._window]
            frame[self._window] = np.clip(blend, 0, 255).astype(np.uint8)
        return frame

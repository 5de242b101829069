"""Eyes and mouth of a portrait: from expression to openings, and what is left for the smooth warp.

The displacement of a lid or lip along the head's y is split into what both edges of the opening share, which
the smooth warp of the whole head carries (`shared_displacement`), and the change of the opening (eye.py,
mouth.py):

  eyes   openness o = model gap / model gap of the portrait, mean of both columns of landmarks. A detector of
         68 points never reports 0 for a closed eye: o is stretched so that CLOSED becomes 0. The gap drawn is
         o times the gap seen in the portrait, at every point between the corners. Each lid does its part of
         the change: the upper one closes an eye, the lower one is lifted by a smile's cheek, by RISE at most.
  mouth  gap drawn = gap seen + change of the model gap (three columns, 0 at the corners). A closed mouth
         opens only by changes above JITTER, so that tracking noise does not make it flicker.
"""

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.face_model import TEMPLATE, modes
from lhg_jax.render.mesh.eye import UPPER_LID, Eye
from lhg_jax.render.mesh.mouth import Mouth
from lhg_jax.render.mesh.smile import FULL_SMILE, lift

CLOSED = 0.15  # openness at and below which an eye is shut
WIDEST = 1.25  # openness above which an eye opens no further
RISE = 0.35  # part of the gap that the lower lid covers at most: a smile narrows an eye, it does not shut it
JITTER = 0.03  # interocular distances: mouth openings of this size are tracking noise

# Outer or left corner first, along the upper edge, then along the lower one.
EYES = (((36, 37, 38, 39), (36, 41, 40, 39)), ((42, 43, 44, 45), (42, 47, 46, 45)))
Edges = tuple[tuple[int, ...], tuple[int, ...]]
BROWS = (slice(17, 22), slice(22, 27))
MOUTH = ((60, 61, 62, 63, 64), (60, 67, 66, 65, 64))
# Lip landmarks that follow the inner ones: landmark -> (inner upper, inner lower, part of the gap it shares).
_LIPS = {
    **{50: (61, 67, 0.5), 51: (62, 66, 0.5), 52: (63, 65, 0.5), 49: (61, 67, 0.2), 53: (63, 65, 0.2)},
    **{61: (61, 67, 0.5), 62: (62, 66, 0.5), 63: (63, 65, 0.5), 67: (61, 67, -0.5), 66: (62, 66, -0.5)},
    **{65: (63, 65, -0.5), 58: (61, 67, -0.5), 57: (62, 66, -0.5), 56: (63, 65, -0.5), 59: (61, 67, -0.2)},
    55: (63, 65, -0.2),
}


def shared_displacement() -> Float[np.ndarray, "68 68"]:
    """S with (S dy)_l = what of the landmarks' displacement dy along y leaves every opening as it is."""
    share = np.eye(68)
    for upper, lower in EYES:
        for edge in (upper, lower):
            for landmark in edge[1:-1]:
                width = TEMPLATE[upper[-1], 0] - TEMPLATE[upper[0], 0]
                part = (TEMPLATE[landmark, 0] - TEMPLATE[upper[0], 0]) / width
                share[landmark] = 0.0
                share[landmark, [upper[0], upper[-1]]] = 1.0 - part, part
    for landmark, (above, below, part) in _LIPS.items():
        share[landmark, below] += part
        share[landmark, above] -= part
    return share


class EyesAndMouth:
    """The two eyes and the mouth of one portrait."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        landmarks: Float[np.ndarray, "68 2"],
        shape: Float[np.ndarray, "68 3"],
        down: Float[np.ndarray, "2"],
    ):
        """Measures the openings.

        Args:
          portrait: the image.
          landmarks: where they are in the image, pixels.
          shape: the same in the head's axes, interocular distances.
          down: the head's y axis in the image, pixels per interocular distance.
        """
        self._unit = float(np.linalg.norm(down))
        self._shape = shape
        axis = down / self._unit
        self._eyes = [
            Eye(portrait, landmarks[list(upper)], landmarks[list(lower)], landmarks[brow], axis, self._unit)
            for (upper, lower), brow in zip(EYES, BROWS, strict=True)
        ]
        self._mouth = Mouth(portrait, landmarks[48:68], axis, self._unit, _skin_colour(portrait, landmarks))

    def apply(
        self,
        canvas: UInt8[np.ndarray, "height width 3"],
        displacement: Float[np.ndarray, "68 3"],
        gaze: Float[np.ndarray, "2"],
    ) -> None:
        """Draws them into `canvas` (a copy of the portrait).

        Args:
          canvas: is changed in place.
          displacement: of the landmarks, in the head's axes.
          gaze: of the irises, interocular distances across and down the face.
        """
        for eye, edges in zip(self._eyes, EYES, strict=True):
            openness, upper_part = self._openness(edges, displacement[:, 1])
            if openness != 1.0 or np.any(gaze):
                canvas[eye.box] = eye.render(openness, gaze, upper_part)
        changes = [displacement[v, 1] - displacement[u, 1] for u, v in zip(*MOUTH, strict=True)]
        changes[0] = changes[-1] = 0.0
        if np.any(changes):
            gap = self._mouth_gap(np.array(changes))
            smile = min(max(lift(displacement[:, 1]) / FULL_SMILE, 0.0), 1.0)
            canvas[self._mouth.box] = self._mouth.render(gap, smile)

    def _openness(self, eye: Edges, dy: Float[np.ndarray, "68"]) -> tuple[float, float]:
        """How open an eye is, 1 as in the portrait, and the part of the change that the upper lid does."""
        (outer, a, b, inner), (_, c, d, _) = eye
        y = self._shape[:, 1]
        gap = max(y[c] + y[d] - y[a] - y[b], 0.1)  # twice, as what follows
        corners = dy[outer] + dy[inner]
        down, up = (dy[a] + dy[b] - corners) / gap, (corners - dy[c] - dy[d]) / gap
        up = RISE * np.tanh(up / RISE)
        closing = down + up
        upper_part = min(max(float(down / closing), 0.0), 1.0) if closing else UPPER_LID
        if closing < 0.0:
            return float(1.0 - (WIDEST - 1.0) * np.tanh(closing / (WIDEST - 1.0))), upper_part
        return float(np.clip((1.0 - closing - CLOSED) / (1.0 - CLOSED), 0.0, 1.0)), upper_part

    def _mouth_gap(self, changes: Float[np.ndarray, "5"]) -> Float[np.ndarray, "rows columns"]:
        change = self._mouth.gap_change(changes * self._unit)
        closed = np.exp(-self._mouth.gap.max() / (0.05 * self._unit)) * JITTER * self._unit
        opening = np.maximum(change, 0.0)
        change = np.where(change > 0, opening * opening / (opening + closed + 1e-6), change)
        return np.maximum(self._mouth.gap + change, 0.0).astype(np.float32)


def _skin_colour(
    portrait: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "3"]:
    """Median colour of the face between eyes and mouth, grey levels."""
    height, width = portrait.shape[:2]
    points = (landmarks[[1, 2, 3, 13, 14, 15]] + landmarks[[31, 31, 31, 35, 35, 35]]) / 2
    x, y = np.clip(np.rint(points).astype(int), 0, [width - 1, height - 1]).T
    return np.median(portrait[y, x].astype(np.float64), axis=0)


def portrait_displacement(exp_change: Float[np.ndarray, "64"]) -> Float[np.ndarray, "68 3"]:
    """Displacement of the landmarks in the head's axes for a change of expression."""
    return (exp_change @ modes().reshape(len(exp_change), -1)).reshape(-1, 3)

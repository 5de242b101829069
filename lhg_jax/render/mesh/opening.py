"""An opening in the skin, an eye or a mouth: its geometry, and how skin goes with its edges.

An opening is bounded by an upper and a lower edge, b = U(a) and b = L(a): a runs along its corners, b down
the face, both in pixels. A smooth warp would squash what lies between the edges when they close. Here skin
covers it, as lids and lips do: the strip along an edge moves as a whole, the skin beyond it stretches, and
what lies farther off stands still (`slide`).
"""

import copy

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import PchipInterpolator

MARGIN = 3  # pixels: a bicubic lookup reaches two
Field = Float[np.ndarray, "rows columns"]
Part = Float[np.ndarray, "part columns"]  # some rows of it


class Opening:
    """The geometry of one opening of one portrait. All lengths are pixels.

    Attributes:
      box: rows and columns of the portrait that the opening and the skin around it cover.
      image: the portrait there, float32.
      a, b: coordinates of the box's pixels, along the opening and down the face.
      along: where a pixel lies between the corners, 0 to 1.
      inside: 1 between the corners, 0 beyond them.
      upper, lower: U and L at every pixel's a; equal beyond the corners.
      gap: L - U.
    """

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "points 2"],
        lower: Float[np.ndarray, "points 2"],
        down: Float[np.ndarray, "2"],
        pad: tuple[float, float],
    ):
        """Edges run from one corner to the other, both corners included.

        Args:
          portrait: the image.
          upper: points of the upper edge.
          lower: points of the lower edge.
          down: unit vector down the face.
          pad: how far beside, and how far above and below the opening the image may change.
        """
        self._down = down.astype(np.float32)
        self._axis = np.array([down[1], -down[0]], np.float32)
        edges = np.concatenate([upper, lower])
        x0, y0 = np.maximum(np.floor(edges.min(0) - pad), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(edges.max(0) + pad) + 1, portrait.shape[1::-1]).astype(int)
        self.box = (slice(y0, y1), slice(x0, x1))
        self.image = portrait[self.box].astype(np.float32)
        self._x, self._y = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (x1 - x0, y1 - y0)))
        xy = np.stack([self._x + np.float32(x0), self._y + np.float32(y0)], -1)
        self.a, self.b = (xy @ self._axis).astype(np.float32), (xy @ down).astype(np.float32)
        corners = np.sort([upper[0] @ self._axis, upper[-1] @ self._axis])
        self.along = np.clip((self.a - corners[0]) / (corners[1] - corners[0]), 0.0, 1.0).astype(np.float32)
        self.inside = (self.along > 0) & (self.along < 1)
        upper_b, lower_b = self.curve(upper), self.curve(lower)
        self.gap = np.maximum(lower_b - upper_b, 0.0) * self.inside
        self.upper = (upper_b + lower_b - self.gap) / 2
        self.lower = self.upper + self.gap

    def curve(self, points: Float[np.ndarray, "points 2"]) -> Field:
        """b of a smooth curve through points of the portrait at every pixel's a, held beyond the ends.

        A cubic through up to four points; more are joined without overshoot (Fritsch & Butland 1984).
        """
        order = np.argsort(points @ self._axis)
        b = (points @ self._down)[order]
        a = np.maximum.accumulate((points @ self._axis)[order] + np.arange(len(points)) * 1e-4)
        at = np.clip(self.a, a[0], a[-1])
        if len(a) <= 4:
            return np.polyval(np.polyfit(a - a[0], b, len(a) - 1), at - a[0]).astype(np.float32)
        return PchipInterpolator(a, b)(at).astype(np.float32)

    def changing(self, above: float, below: float) -> tuple[slice, slice]:
        """Rows and columns of the box between the corners, from `above` the upper to `below` the lower edge.

        With a margin, so that what is sampled there depends on nothing else.
        """
        part = self.inside & (self.b > self.upper - above) & (self.b < self.lower + below)
        ends = []
        for axis in (1, 0):
            index = np.flatnonzero(part.any(axis=axis))
            low, high = (int(index[0]), int(index[-1])) if len(index) else (0, 0)
            ends.append(slice(max(low - MARGIN, 0), high + MARGIN + 1))
        return ends[0], ends[1]

    def cut(self, part: tuple[slice, slice]) -> "Opening":
        """The same opening in fewer rows and columns of its box."""
        less = copy.copy(self)
        (top, left), (height, width) = (whole.start for whole in self.box), self.a[part].shape
        y, x = top + part[0].start, left + part[1].start
        less.box = slice(y, y + height), slice(x, x + width)
        for name in ("image", "a", "b", "along", "inside", "upper", "lower", "gap"):
            setattr(less, name, np.ascontiguousarray(getattr(self, name)[part]))
        less._x, less._y = (np.ascontiguousarray(x[part]) - x[part][0, 0] for x in (self._x, self._y))
        return less

    def sample(
        self,
        image: Float[np.ndarray, "rows columns 3"],
        move_b: Part,
        move_a: Part | None = None,
        rows: slice = slice(None),
    ) -> Float[np.ndarray, "part columns 3"]:
        """An image of the box; every pixel looks `move_b` down the face and `move_a` along the opening.

        With `rows`, only these of it; the moves are theirs.
        """
        x, y = self._x[rows] + move_b * self._down[0], self._y[rows] + move_b * self._down[1]
        if move_a is not None:
            x, y = x + move_a * self._axis[0], y + move_a * self._axis[1]
        x, y = x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)
        return cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def slide(distance: Field, shift: Field, keep: Field | float, reach: float) -> Field:
    """How far from an edge the skin came from that is now at `distance` from the moved edge.

    The edge has moved by `shift` away from the skin. Skin up to `keep` from it moves along, nothing moves
    from `reach` on, and between them a rational quadratic with slope 1 at both ends (Gregory & Delbourgo
    1982) stretches it: monotone for every shift, so skin never folds over.
    """
    source = np.maximum(np.float32(reach) - keep, np.float32(1.0))
    target = np.maximum(source + shift, np.float32(0.2) * source)
    t = np.clip((distance - keep) / target, 0.0, 1.0)
    chord, bend = source / target, t * (1.0 - t)
    between = source * (chord * t * t + bend) / (chord + 2.0 * (1.0 - chord) * bend)
    return np.minimum(distance, keep) + between + np.maximum(distance - keep - target, 0.0)

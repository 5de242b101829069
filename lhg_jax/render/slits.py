"""Eyes and mouth: openings in the skin, edited in the portrait's own pose before the head is moved.

An opening is bounded by an upper and a lower edge, b = U(a) and b = L(a): a runs along its corners, b down the
face, both in pixels. A smooth warp would squash what lies between the edges when they close. Here the skin slides
over it, as lids and lips do. With the edges moved to U' = U + dU and L' = L + dL, a point at b of the output
takes its colour

  above U'    from the skin at distance t' above U, where t = U' - b and
              t' = t - dU * smoothstep((t - margin) / (reach + dU - margin)):
              the margin (lashes, lip) moves rigidly, the skin above it stretches or folds, beyond reach nothing moves;
  below L'    the same, mirrored;
  between     from what lay there in the portrait (eyeball, teeth), which stands still; where the opening is
              wider than it was, from the darkness of a mouth, or for eyes from a slightly magnified eyeball.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import PchipInterpolator

from lhg_jax.render.head import smoothstep


class Slit:
    """One opening of one portrait."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "points 2"],
        lower: Float[np.ndarray, "points 2"],
        down: Float[np.ndarray, "2"],
        reach: tuple[float, float],
        margin: float,
    ):
        """Edges run from one corner to the other, both corners included; lengths are pixels.

        Args:
          portrait: the image.
          upper: points of the upper edge.
          lower: points of the lower edge.
          down: unit vector down the face.
          reach: how far above U and below L the skin follows.
          margin: how much skin beside the edges moves rigidly.
        """
        self.reach, self.margin, self.down = reach, margin, down
        along = np.array([down[1], -down[0]])
        self._ends = np.sort([upper[0] @ along, upper[-1] @ along])
        corners = np.stack([upper[0], upper[-1]])
        pad = max(reach) * 1.1 + 2
        low = np.floor(np.minimum(upper.min(0), lower.min(0)) - pad).astype(int)
        high = np.ceil(np.maximum(upper.max(0), lower.max(0)) + pad).astype(int) + 1
        height, width = portrait.shape[:2]
        x0, y0 = np.maximum(low, 0)
        x1, y1 = np.minimum(high, [width, height])
        self.box = (slice(y0, y1), slice(x0, x1))
        xy = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).astype(np.float32)
        self._local = (xy - [x0, y0]).astype(np.float32)
        self.a, self.b = (xy @ along).astype(np.float32), (xy @ down).astype(np.float32)
        self.inside = (self.a > self._ends[0]) & (self.a < self._ends[1])
        base = self.curve(corners @ along, corners @ down)
        upper_b, lower_b = (self.curve(p @ along, p @ down) for p in (upper, lower))
        middle = (upper_b + lower_b) / 2
        self.gap = np.maximum(lower_b - upper_b, 0.0) * self.inside
        self.upper = np.where(self.inside, middle - self.gap / 2, base)
        self.lower = np.where(self.inside, middle + self.gap / 2, base)
        self.skin = portrait[self.box].copy()

    def curve(
        self, a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]
    ) -> Float[np.ndarray, "rows columns"]:
        """A smooth curve b(a) through points, evaluated at every pixel's a and held outside."""
        order = np.argsort(a)
        a = np.maximum.accumulate(a[order] + np.arange(len(a)) * 1e-4)
        spline = PchipInterpolator(a, b[order])
        return spline(np.clip(self.a, a[0], a[-1])).astype(np.float32)

    def render(
        self,
        gap: Float[np.ndarray, "rows columns"],
        upper_share: float,
        dark: Float[np.ndarray, "3"] | None,
        seam: float,
    ) -> UInt8[np.ndarray, "rows columns 3"]:
        """The pixels of `box` with the opening changed.

        Args:
          gap: new height of the opening at every pixel's a, >= 0.
          upper_share: part of the change that the upper edge does.
          dark: colour of the cavity behind; None stretches what is there (eyes).
          seam: 0..1, how strongly a closed opening draws its line (lashes).
        """
        change = self.gap - gap
        d_upper, d_lower = upper_share * change, (upper_share - 1.0) * change
        upper, lower = self.upper + d_upper, self.lower + d_lower
        skin = self._sample(self._skin_source(upper, lower, d_upper, d_lower))
        inner = self._sample(self._inner_source(upper, lower))
        if dark is not None:
            fresh = np.clip((gap - self.gap) / np.maximum(gap, 1e-3), 0.0, 1.0) * np.clip(
                gap - self.gap, 0, 1
            )
            inner += (dark - inner) * fresh[..., None]
        cover = np.minimum(self.b - upper, lower - self.b) + 0.5
        cover = np.clip(cover, 0, 1) * np.clip(gap, 0, 1)
        colour = skin + (inner - skin) * cover[..., None]
        if seam > 0:
            off = (self.b - (upper + lower) / 2) / max(0.6 * self.margin, 0.7)
            ends = (self.a - self._ends[0]) / (self._ends[1] - self._ends[0])
            line = seam * np.exp(-(off**2)) * smoothstep(ends / 0.15) * smoothstep((1 - ends) / 0.15)
            colour *= (1.0 - line)[..., None]
        return np.clip(np.rint(colour), 0, 255).astype(np.uint8)

    def _skin_source(self, upper, lower, d_upper, d_lower):
        """b of the portrait's skin that each pixel shows, were it skin."""
        above = self._slide(upper - self.b, d_upper, self.reach[0])
        below = self._slide(self.b - lower, -d_lower, self.reach[1])
        is_above = self.b < (upper + lower) / 2
        return np.where(is_above, self.upper - above, self.lower + below)

    def _slide(self, distance, shift, reach):
        span = np.maximum(reach + shift - self.margin, 1.7 * np.abs(shift) + 1e-3)
        return (
            distance - shift * smoothstep((distance - self.margin) / span) if np.ndim(distance) else distance
        )

    def _inner_source(self, upper, lower):
        """b of the portrait's eyeball or teeth that each pixel shows, were it uncovered."""
        top, bottom = np.minimum(upper, self.upper), np.maximum(lower, self.lower)
        ratio = self.gap / np.maximum(bottom - top, 1e-3)
        moved = self.upper + (self.b - top) * ratio
        return np.where(bottom - top > self.gap + 1e-3, moved, self.b)

    def _sample(self, source_b):
        shift = source_b - self.b
        x = self._local[..., 0] + shift * self.down[0]
        y = self._local[..., 1] + shift * self.down[1]
        args = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        return cv2.remap(
            self.skin, x.astype(np.float32), y.astype(np.float32), args[0], borderMode=args[1]
        ).astype(np.float32)

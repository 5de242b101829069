"""A mouth: lips that keep their thickness over teeth and a dark cavity."""

import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import CubicSpline

from lhg_jax.render.mesh.opening import Field, Opening, slide
from lhg_jax.render.smoothstep import smoothstep

# Lengths are distances between the eyes (62 mm).
LEAST_LIP = 0.04
ABOVE, BELOW = 0.22, 0.40  # how far beyond the lips the skin stretches: to the nose's base and the chin
SEAM = (
    0.015  # of the lips' inner edge is not seen when they meet: the detector's edge often lies on the teeth
)
TEETH = 0.10  # upper teeth that an opening mouth shows, at most (6 mm)
TEETH_PART = 0.45  # of the opening, at most
TEETH_COLOUR = np.array([0.80, 0.76, 0.70], np.float32)  # of the skin's brightness, in the shade of the lip
DEEP = np.array([0.22, 0.10, 0.09], np.float32)  # the same of the cavity
TONGUE = np.array([0.52, 0.26, 0.24], np.float32)


class Mouth:
    """The mouth of one portrait.

    Attributes:
      box: rows and columns of the portrait that it covers.
      gap: height of the opening seen in the portrait at each pixel's place along the mouth, pixels.
    """

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        lips: Float[np.ndarray, "20 2"],
        down: Float[np.ndarray, "2"],
        unit: float,
        brightness: float,
    ):
        """Measures the mouth.

        Args:
          portrait: the image.
          lips: iBUG landmarks 48 to 67, pixels.
          down: unit vector down the face.
          unit: the distance between the eyes, pixels.
          brightness: of the skin around, grey levels.
        """
        upper, lower = lips[12:17], lips[[12, 19, 18, 17, 16]]
        self._opening = opening = Opening(portrait, upper, lower, down, (0.1 * unit, 0.45 * unit))
        self.box, self.gap, self._unit, self._brightness = opening.box, opening.gap, unit, brightness
        outer_upper, outer_lower = opening.curve(lips[:7]), opening.curve(lips[[0, 11, 10, 9, 8, 7, 6]])
        self._upper_lip = np.maximum(opening.upper - outer_upper, LEAST_LIP * unit)
        self._lower_lip = np.maximum(outer_lower - opening.lower, LEAST_LIP * unit)
        columns = (upper + lower) / 2 @ np.array([down[1], -down[0]])
        columns = np.maximum.accumulate(columns + np.arange(5) * 1e-4)
        basis = CubicSpline(columns, np.eye(5))(np.clip(opening.a, columns[0], columns[-1]))
        self._basis = (basis * opening.inside[..., None]).astype(np.float32)

    def gap_change(self, changes: Float[np.ndarray, "5"]) -> Field:
        """The gap's change everywhere, from that at the five columns of inner landmarks (any unit)."""
        return self._basis @ changes.astype(np.float32)

    def render(self, gap: Field) -> UInt8[np.ndarray, "rows columns 3"]:
        """The pixels of `box` for an opening `gap` >= 0 pixels high; the lips do half of the change each."""
        mouth, unit = self._opening, self._unit
        shift = (mouth.gap - gap) / 2
        closing = np.clip((mouth.gap - gap) / np.maximum(mouth.gap, 1.0), 0, 1)
        seam = SEAM * unit * closing * np.clip(mouth.gap / (0.05 * unit), 0, 1)
        upper, lower = mouth.upper + shift, mouth.lower - shift
        above, below = upper - mouth.b, mouth.b - lower
        from_nose = slide(above, shift + seam, self._upper_lip, ABOVE * unit)
        from_chin = slide(below, shift + seam, self._lower_lip, BELOW * unit)
        is_upper = mouth.b < (upper + lower) / 2
        source = np.where(is_upper, mouth.upper - seam - from_nose, mouth.lower + seam + from_chin)
        skin = mouth.sample(mouth.image, source - mouth.b)
        seen = np.clip(np.minimum(mouth.b - upper, lower - mouth.b) + 0.5, 0, 1) * np.clip(gap, 0, 1)
        image = skin + (self._inside(mouth.b - upper, gap) - skin) * seen[..., None]
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _inside(self, depth: Field, gap: Field) -> Float[np.ndarray, "rows columns 3"]:
        """What lies `depth` below the upper lip: what the portrait shows, below it what it does not."""
        mouth = self._opening
        seen = mouth.sample(mouth.image, mouth.upper + np.minimum(depth, mouth.gap + 0.5) - mouth.b)
        fresh = smoothstep((depth - 0.8 * mouth.gap) / (0.25 * mouth.gap + 0.5))
        fresh = fresh * smoothstep((gap - mouth.gap) / (0.2 * mouth.gap + 1.0))
        if not fresh.any():
            return seen
        return seen + (self._cavity(depth, gap) - seen) * fresh[..., None]

    def _cavity(self, depth: Field, gap: Field) -> Float[np.ndarray, "rows columns 3"]:
        """A mouth's inside that was not seen: upper teeth in the lip's shade, darkness, a tongue."""
        mouth, unit = self._opening, self._unit
        low = smoothstep((depth / np.maximum(gap, 1.0) - 0.55) / 0.6)
        colour = self._brightness * (DEEP + (TONGUE - DEEP) * low[..., None])
        height = np.minimum(TEETH * unit, TEETH_PART * gap) * (1 - mouth.gap / (mouth.gap + 0.06 * unit))
        sides = np.clip(1.0 - np.square(2.0 * mouth.along - 1.0), 0, 1)
        edge = np.clip((height * np.sqrt(sides) - depth) / (0.02 * unit + 0.5), 0, 1)
        light = (0.55 + 0.45 * smoothstep(depth / (0.05 * unit))) * (0.5 + 0.5 * sides)
        teeth = self._brightness * TEETH_COLOUR * light[..., None]
        part = edge * smoothstep(gap / (0.12 * unit))
        return colour + (teeth - colour) * part[..., None]

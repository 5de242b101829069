"""A mouth: lips that keep their thickness over teeth and a dark cavity."""

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.render.mesh.monotone import MonotoneCurve
from lhg_jax.render.mesh.opening import Field, Opening, slide
from lhg_jax.render.smoothstep import smoothstep

# Lengths are distances between the eyes (62 mm).
LEAST_LIP = 0.04
ABOVE, BELOW = 0.22, 0.40  # how far beyond the lips the skin stretches: to the nose's base and the chin
SEAM = (
    0.015  # of the lips' inner edge is not seen when they meet: the detector's edge often lies on the teeth
)
FEATHER = 0.012  # over which a lip's inner edge turns into what lies behind
# Upper teeth that an opening mouth shows: height at most (7 mm), and part of the opening without and with a
# smile, which draws the upper lip up. A front tooth is 8.5 mm wide.
TEETH, TEETH_PART, TOOTH = 0.11, (0.5, 0.8), 0.135
TEETH_LIGHT, TEETH_CHROMA = 1.0, 0.6  # brightness of the skin's; part of its colour that lights them
# Of the skin's brightness: the cavity behind the teeth and the tongue in its shade (as in photographs).
DEEP = np.array([0.29, 0.14, 0.13], np.float32)
TONGUE = np.array([0.55, 0.29, 0.28], np.float32)


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
        skin: Float[np.ndarray, "3"],
    ):
        """Measures the mouth.

        Args:
          portrait: the image.
          lips: iBUG landmarks 48 to 67, pixels.
          down: unit vector down the face.
          unit: the distance between the eyes, pixels.
          skin: colour of the skin around, grey levels.
        """
        upper, lower = lips[12:17], lips[[12, 19, 18, 17, 16]]
        wide = Opening(portrait, upper, lower, down, (0.1 * unit, 0.45 * unit))
        outer_upper, outer_lower = wide.curve(lips[:7]), wide.curve(lips[[0, 11, 10, 9, 8, 7, 6]])
        upper_lip = np.maximum(wide.upper - outer_upper, LEAST_LIP * unit)
        lower_lip = np.maximum(outer_lower - wide.lower, LEAST_LIP * unit)
        part = wide.changing(max(ABOVE * unit, upper_lip.max() + 1), max(BELOW * unit, lower_lip.max() + 1))
        self._upper_lip, self._lower_lip = upper_lip[part], lower_lip[part]
        self._opening = opening = wide.cut(part)
        self.box, self.gap, self._unit = opening.box, opening.gap, unit
        self._brightness = float(skin.mean())
        hue = np.maximum(skin, 1.0) / max(self._brightness, 1.0)
        self._teeth_colour = (TEETH_LIGHT * self._brightness * hue**TEETH_CHROMA).astype(np.float32)
        columns = (upper + lower) / 2 @ np.array([down[1], -down[0]])
        columns = np.maximum.accumulate(columns + np.arange(5) * 1e-4)
        self._width = float(np.ptp(columns))
        self._curve = MonotoneCurve(columns, np.clip(opening.a, columns[0], columns[-1]))
        self._sides = np.clip(1.0 - np.square(2.0 * opening.along - 1.0), 0, 1)
        self._tooth_light = self._between_teeth() * (0.45 + 0.55 * self._sides)

    def gap_change(self, changes: Float[np.ndarray, "5"]) -> Field:
        """The gap's change everywhere, from that at the five columns of inner landmarks (any unit).

        Joined without overshoot: columns lie far apart at the near corner of a turned mouth, and what a
        smile narrows in the middle must not gape there.
        """
        return self._curve(changes) * self._opening.inside

    def render(self, gap: Field, smile: float = 0.0) -> UInt8[np.ndarray, "rows columns 3"]:
        """The pixels of `box`; the lips do half of the change each.

        Args:
          gap: height of the opening, >= 0 pixels.
          smile: 1 in a full smile, which bares more of the teeth than the portrait does, 0 in none.
        """
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
        inner = np.minimum(mouth.b - upper, lower - mouth.b)
        seen = np.clip(inner / max(FEATHER * unit, 1.0) + 0.5, 0, 1) * np.clip(gap, 0, 1)
        image = skin + (self._inside(mouth.b - upper, gap, smile) - skin) * seen[..., None]
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _inside(self, depth: Field, gap: Field, smile: float) -> Float[np.ndarray, "rows columns 3"]:
        """What lies `depth` below the upper lip: what the portrait shows, below it what it does not."""
        mouth = self._opening
        seen = mouth.sample(mouth.image, mouth.upper + np.minimum(depth, mouth.gap + 0.5) - mouth.b)
        fresh = smoothstep((depth - 0.8 * mouth.gap) / (0.25 * mouth.gap + 0.5))
        fresh = fresh * smoothstep((gap - mouth.gap) / (0.2 * mouth.gap + 1.0))
        if not fresh.any():
            return seen
        return seen + (self._cavity(depth, gap, smile) - seen) * fresh[..., None]

    def _cavity(self, depth: Field, gap: Field, smile: float) -> Float[np.ndarray, "rows columns 3"]:
        """A mouth's inside that was not seen: upper teeth in the lip's shade, darkness, a tongue."""
        mouth, unit = self._opening, self._unit
        low = smoothstep((depth / np.maximum(gap, 1.0) - 0.5) / 0.6)
        colour = self._brightness * (DEEP + (TONGUE - DEEP) * low[..., None])
        part = TEETH_PART[0] + (TEETH_PART[1] - TEETH_PART[0]) * smile
        height = np.minimum(TEETH * unit, part * gap) * (1 - mouth.gap / (mouth.gap + 0.06 * unit))
        edge = np.clip((height * np.sqrt(self._sides) - depth) / (0.02 * unit + 0.5) + 0.5, 0, 1)
        light = self._tooth_light * (0.6 + 0.4 * smoothstep(depth / (0.05 * unit)))  # below the lip's shade
        teeth = self._teeth_colour * light[..., None]
        return colour + (teeth - colour) * (edge * smoothstep(gap / (0.08 * unit)))[..., None]

    def _between_teeth(self) -> Field:
        """Light on the teeth: a little less where two of them meet, as in the middle of the mouth."""
        along = self._opening.along - 0.5
        columns = along * self._width / (TOOTH * self._unit)
        return 1.0 - 0.15 * np.cos(np.pi * columns) ** 16

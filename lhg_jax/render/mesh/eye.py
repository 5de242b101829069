"""An eye that closes and looks: lids with their own skin over an eyeball.

The upper lid comes down with the skin between it and the brow, which stretches; its edge carries its lashes
along. That skin lay in a fold under the brow: drawn out of it, it gets light. Lower on the eyeball the lid
throws its shadow as before. The eyeball turns under the lids.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.render.mesh.opening import Field, Opening, slide
from lhg_jax.render.smoothstep import smoothstep

UPPER_LID = 0.85  # part of a blink that the upper lid does (the lower one hardly moves)
LIFTED = 0.25  # part of a blink by which the upper lid's edge is surely skin, not the eyeball's rim
# Lengths are distances between the eyes (62 mm).
EDGE = 0.025  # above the detector's upper edge begins what is surely lid, not eyeball
LASH_STRIP = 0.03  # skin that moves with the edge as a whole
UPPER_REACH, LOWER_REACH = 0.34, 0.25  # how far from the edges skin stretches, at most
BROW = 0.8  # of the way up to the brow: its lower edge
CREASE = 0.07  # above the edge, from where on brow, spectacles and shadow are looked for
DARK = 0.75  # of the lid's brightness, below which they are
LASHES, LASH_WIDTH = 0.6, (0.02, 0.035)  # opacity of the line of lashes; its width half open and shut
WIDENS, NEAR = 0.3, 0.12  # eyeball and lashes lie so close to the gap: part of it, and distance
SHADOW, SHADOW_WIDTH = 0.35, 0.025  # of the lid on the eyeball
# Of the cheek's brightness, what a shut lid has at least (six people: 0.53 to 0.93; the skin above their open
# eyes: 0.32 to 0.9), and over which distance brightness is taken.
LID_LIGHT, LIGHT_WIDTH = 0.6, 0.04
CHEEK = 0.24, 0.36  # below the lower edge, where the cheek's brightness is taken
GAZE_LIMIT = 0.06  # of the iris, each way: a third of its own width
STRAIGHT = np.zeros(2)


class Eye:
    """An eye of one portrait."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "4 2"],
        lower: Float[np.ndarray, "4 2"],
        brow: Float[np.ndarray, "points 2"],
        down: Float[np.ndarray, "2"],
        unit: float,
    ):
        """Measures the eye.

        Args:
          portrait: the image.
          upper: the upper lid's edge, from corner to corner, pixels.
          lower: the lower lid's edge.
          brow: the brow's middle line.
          down: unit vector down the face.
          unit: the distance between the eyes, pixels.
        """
        width = upper[3] - upper[0]
        wider = np.array([-0.10, 0.0, 0.0, 0.10])[:, None] * width
        opening = Opening(portrait, upper + wider, lower + wider, down, (0.15 * unit, 0.36 * unit))
        self._opening, self._unit = opening, unit
        between = (opening.b > opening.upper) & (opening.b < opening.lower)
        self._lash_colour = np.percentile(opening.image[between], 5, axis=0) if between.any() else np.zeros(3)
        self._lash_colour = self._lash_colour.astype(np.float32)
        to_brow = float((upper[1:3].mean(0) - brow.mean(0)) @ down)
        self._reach = float(np.clip(BROW * to_brow, 0.12 * unit, UPPER_REACH * unit))
        self._bare = self._without_brow()
        self._brow = opening.image - self._bare  # added to the skin that moves under it
        self._ends = smoothstep(opening.along / 0.2) * smoothstep((1 - opening.along) / 0.2)
        self._light = self._missing_light()
        self._keep(opening.changing(EDGE * unit + self._reach, LOWER_REACH * unit))

    def _keep(self, part: tuple[slice, slice]) -> None:
        """Gives up what lies outside of these rows and columns of the box, for it never changes."""
        self._opening = opening = self._opening.cut(part)
        self.box = opening.box
        for name in ("_bare", "_brow", "_ends", "_light"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[part]))
        margin = WIDENS * opening.gap + NEAR * self._unit
        near = (opening.b > opening.upper - margin) & (opening.b < opening.lower + margin) & opening.inside
        found = np.flatnonzero(near.any(axis=1))
        self._rows = slice(found[0], found[-1] + 1) if len(found) else slice(0, 0)  # that show more than skin

    def _without_brow(self) -> Float[np.ndarray, "rows columns 3"]:
        """The portrait without brow, spectacles and deep shadow above the lid, which do not move with it.

        The skin is continued under them by normalised convolution (Knutsson & Westin 1993).
        """
        eye, unit = self._opening, self._unit
        above = (eye.upper - eye.b) / unit
        grey = cv2.cvtColor(eye.image, cv2.COLOR_RGB2GRAY)
        lid = (above > CREASE) & (above < UPPER_REACH) & eye.inside
        if not lid.any():
            return eye.image
        bright = np.quantile(grey[lid], 0.6)
        dark = ((grey < DARK * bright) & (above > CREASE)).astype(np.float32)
        still = np.clip(2.0 * cv2.GaussianBlur(dark, (0, 0), 0.02 * unit), 0, 1)
        still *= smoothstep((above - CREASE) / 0.02)
        known = (1.0 - still) * (above > CREASE / 2)
        total = cv2.GaussianBlur(known, (0, 0), 0.06 * unit)[..., None]
        blurred = cv2.GaussianBlur(eye.image * known[..., None], (0, 0), 0.06 * unit)
        faint = 0.01
        skin = (blurred + faint * np.median(eye.image[lid & (dark == 0)], axis=0)) / (total + faint)
        return (eye.image + (skin - eye.image) * still[..., None]).astype(np.float32)

    def _missing_light(self) -> Float[np.ndarray, "rows columns 3"]:
        """What the lid's skin gains when it comes out of its fold and the brow's shade, grey levels."""
        eye, unit = self._opening, self._unit
        above, below = (eye.upper - eye.b) / unit, (eye.b - eye.lower) / unit
        cheek = (below > CHEEK[0]) & (below < CHEEK[1]) & eye.inside
        if not cheek.any():
            return np.zeros_like(eye.image)
        grey, bare = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (eye.image, self._bare))
        known = smoothstep(above / EDGE).astype(np.float32)
        total, light = (cv2.GaussianBlur(x, (0, 0), LIGHT_WIDTH * unit) for x in (known, bare * known))
        gain = LID_LIGHT * np.median(grey[cheek]) * total / np.maximum(light, 1e-3 + total) - 1.0
        reach = self._reach / unit
        strip = self._ends * known * (1.0 - smoothstep(above / (0.3 * reach) - 2.5))
        return (self._bare * (strip * np.clip(gain, 0.0, 2.0))[..., None]).astype(np.float32)

    def render(
        self, openness: float, gaze: Float[np.ndarray, "2"] = STRAIGHT, upper_part: float = UPPER_LID
    ) -> UInt8[np.ndarray, "rows columns 3"]:
        """The pixels of `box`.

        Args:
          openness: 1 is the portrait's, 0 a closed eye, above 1 a wider one.
          gaze: how far the iris has moved along the eye and down the face, distances between the eyes.
          upper_part: of the change, what the upper lid does: most of a blink, little of a smile; 0 to 1.
        """
        eye, unit = self._opening, self._unit
        change = (1.0 - openness) * eye.gap
        upper, lower = eye.upper + upper_part * change, eye.lower - (1.0 - upper_part) * change
        closing = smoothstep(np.float32(upper_part * (1.0 - openness) / LIFTED))
        above, below = upper - eye.b, eye.b - lower
        edge = closing * EDGE * unit * self._ends
        from_brow = slide(np.maximum(above, 0), upper - eye.upper + edge, LASH_STRIP * unit, self._reach)
        from_cheek = slide(np.maximum(below, 0), eye.lower - lower, 0.0, LOWER_REACH * unit)
        source = np.where(above > below, eye.upper - edge - from_brow, eye.lower + from_cheek)
        shut = min(max(upper_part * (1.0 - openness) / UPPER_LID, 0.0), 1.0)
        skin = eye.sample(self._bare + np.float32(shut) * self._light, source - eye.b) + self._brow
        rows, above = self._rows, above[self._rows]
        seen = np.clip(np.minimum(-above, -below[rows]) + 0.5, 0, 1) * np.clip((lower - upper)[rows], 0, 1)
        seen *= eye.inside[rows]
        image = skin[rows]
        image += (self._eyeball(openness, upper, gaze) - image) * seen[..., None]
        width = max(float(np.interp(openness, (0.0, 0.5), LASH_WIDTH[::-1])) * unit, 0.8)
        lashes = LASHES * closing * self._ends[rows] * np.exp(-np.square(above / width))
        image += (self._lash_colour - image) * lashes[..., None]
        return np.clip(np.rint(skin), 0, 255).astype(np.uint8)

    def _eyeball(
        self, openness: float, upper: Field, gaze: Float[np.ndarray, "2"]
    ) -> Float[np.ndarray, "part columns 3"]:
        """What lies between the lids: larger in an eye wider open, turned by the gaze, shaded by the lid."""
        eye, unit, rows = self._opening, self._unit, self._rows
        b, top, upper, gap, ends = (x[rows] for x in (eye.b, eye.upper, upper, eye.gap, self._ends))
        part = np.clip((b - top) / np.maximum(gap, 1.0), 0.0, 1.0)
        move_b = (top + (b - upper) / openness - b) if openness > 1.0 else np.zeros_like(b)
        move_a = np.zeros_like(b)
        if np.any(gaze):
            held = 4.0 * part * (1.0 - part)  # the lids' edges do not turn with the eyeball
            across, down = (float(x) * unit for x in np.clip(gaze, -GAZE_LIMIT, GAZE_LIMIT))
            move_a = -across * ends * np.minimum(2.0 * held, 1.0)
            move_b = move_b - down * ends * held
        ball = eye.sample(eye.image, move_b, move_a, rows)
        depth = np.maximum(b - upper, 0.0) / (SHADOW_WIDTH * unit)
        shade = SHADOW * np.exp(-depth) * smoothstep((upper - top) / (2 * SHADOW_WIDTH * unit))
        return ball * (1.0 - shade[..., None])

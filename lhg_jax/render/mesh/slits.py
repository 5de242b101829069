"""Openings in the skin, eyes and mouth: how they look when they close or open, in the portrait's own pose.

An opening is bounded by an upper and a lower edge, b = U(a) and b = L(a): a runs along its corners, b down
the face, both in pixels. A smooth warp would squash what lies between the edges when they close. Here, with
edges moved to U' = U + dU and L' = L + dL, skin covers it, as lids and lips do.

`Eye`. When it closes, new skin appears between U and U' (and L' and L). The photograph does not show it, so
  it is made once, by normalised convolution (Knutsson & Westin 1993) of the skin around the eye, leaving out
  lashes, brow and glasses, with the grain of the skin below. U lies above the lashes of the open eye, so the
  lid covers them; what sticks out fades as the eye closes, and the moving edge carries a line of lashes
  instead. The eyeball and everything else stand still.
`Mouth`. A lip moves as a whole, the skin beyond it stretches: a pixel at distance t = U' - b above U' shows
  the skin at f(t) above U. f is the identity on the lip, t - dU where nothing moves any more, and between
  them a rational quadratic with slope 1 at both ends (Gregory & Delbourgo 1982), monotone for every dU: skin
  never folds over. The inside shows the teeth, if any were seen, going with the upper lip, and below them a
  dark cavity.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.interpolate import PchipInterpolator

from lhg_jax.render.mesh.head import smoothstep

LASHES = 0.85  # opacity of the lashes on the edge of a closing lid
LASH_WIDTH = 0.03, 0.05  # half open, shut; interocular distances
UPPER_LID = 0.85  # part of a blink that the upper lid does
LIKE_SKIN = 0.3  # relative difference in brightness from the skin below the eye that is still skin


class Slit:
    """The geometry of one opening of one portrait."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "points 2"],
        lower: Float[np.ndarray, "points 2"],
        down: Float[np.ndarray, "2"],
        pad: float,
    ):
        """Edges run from one corner to the other, both corners included; all lengths are pixels.

        Args:
          portrait: the image.
          upper: points of the upper edge.
          lower: points of the lower edge.
          down: unit vector down the face.
          pad: how far around the opening the image may change.
        """
        self._down = down
        along = np.array([down[1], -down[0]])
        edges = np.concatenate([upper, lower])
        x0, y0 = np.maximum(np.floor(edges.min(0) - pad), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(edges.max(0) + pad) + 1, portrait.shape[1::-1]).astype(int)
        self.box = (slice(y0, y1), slice(x0, x1))
        self._image = portrait[self.box].copy()
        self._xy = np.stack(np.meshgrid(np.arange(x1 - x0), np.arange(y1 - y0)), -1).astype(np.float32)
        xy = self._xy + np.array([x0, y0], np.float32)
        self.a, self.b = (xy @ along).astype(np.float32), (xy @ down).astype(np.float32)
        ends = np.sort([upper[0] @ along, upper[-1] @ along])
        self.along = np.clip((self.a - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0).astype(np.float32)
        self.inside = (self.along > 0) & (self.along < 1)
        upper_b, lower_b = (self.curve(points @ along, points @ down) for points in (upper, lower))
        self.gap = np.maximum(lower_b - upper_b, 0.0) * self.inside
        self.upper = (upper_b + lower_b - self.gap) / 2
        self.lower = self.upper + self.gap

    def curve(
        self, a: Float[np.ndarray, "points"], b: Float[np.ndarray, "points"]
    ) -> Float[np.ndarray, "r c"]:
        """A smooth curve b(a) through points, at every pixel's a, held outside; up to 4 points: a cubic."""
        order = np.argsort(a)
        a = np.maximum.accumulate(a[order] + np.arange(len(a)) * 1e-4)
        at = np.clip(self.a, a[0], a[-1])
        if len(a) <= 4:
            return np.polyval(np.polyfit(a - a[0], b[order], len(a) - 1), at - a[0]).astype(np.float32)
        return PchipInterpolator(a, b[order])(at).astype(np.float32)

    def _sample(self, source_b: Float[np.ndarray, "r c"]) -> Float[np.ndarray, "r c 3"]:
        """The portrait where every pixel looks at another b of its own a."""
        lookup = self._xy + (source_b - self.b)[..., None] * self._down
        image = cv2.remap(
            self._image, lookup.astype(np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return image.astype(np.float32)

    def _slide(self, distance, shift, keep: float, reach: float) -> Float[np.ndarray, "r c"]:
        """f(t) of the module docstring: `keep` moves rigidly by `shift`, nothing moves from `reach` on."""
        source = reach - keep
        target = np.maximum(source + shift, 0.2 * source)
        t = np.clip((distance - keep) / target, 0.0, 1.0)
        chord, bend = source / target, t * (1.0 - t)
        between = source * (chord * t * t + bend) / (chord + 2.0 * (1.0 - chord) * bend)
        return np.minimum(distance, keep) + between + np.maximum(distance - keep - target, 0.0)


class Eye(Slit):
    """An eye: the opening of a lid over an eyeball that stands still."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "4 2"],
        lower: Float[np.ndarray, "4 2"],
        down: Float[np.ndarray, "2"],
        unit: float,
    ):
        """As `Slit`; edges are the detector's, `unit` is the interocular distance in pixels."""
        width = upper[3] - upper[0]
        wider = np.array([-0.10, 0.0, 0.0, 0.10])[:, None] * width
        lifted = np.array([0.01, 0.06, 0.06, 0.01])[:, None] * unit * down  # over the lashes
        lowered = np.array([0.01, 0.02, 0.02, 0.01])[:, None] * unit * down
        super().__init__(portrait, upper + wider - lifted, lower + wider + lowered, down, 0.32 * unit)
        self._unit = unit
        skin = self._skin()
        self._lid = self._new_skin(skin)
        opening = (self.b > self.upper) & (self.b < self.lower)
        self._lash_colour = np.percentile(self._image[opening], 5, axis=0)
        self._fading = self._old_lashes(skin)
        feather = 0.05 * unit
        self._top = smoothstep((self.b - self.upper) / feather + 0.7) * self.inside
        self._bottom = smoothstep((self.lower - self.b) / feather + 0.7) * self.inside
        self._ends = smoothstep(self.along / 0.2) * smoothstep((1 - self.along) / 0.2)

    def render(self, openness: float) -> UInt8[np.ndarray, "r c 3"]:
        """The pixels of `box`: openness 1 is the portrait's, 0 a closed eye, above 1 a wider one."""
        if openness > 1.0:
            return self._wide(openness)
        change = (1.0 - openness) * self.gap
        upper, lower = self.upper + UPPER_LID * change, self.lower - (1.0 - UPPER_LID) * change
        cover = np.maximum(
            np.clip(upper - self.b + 0.5, 0, 1) * self._top,
            np.clip(self.b - lower + 0.5, 0, 1) * self._bottom,
        )
        cover *= smoothstep(np.float32((1.0 - openness) / 0.15))
        closing = smoothstep(np.float32((1.0 - openness) / 0.4))
        cover = np.maximum(cover, closing * self._fading)
        image = self._image + (self._lid - self._image) * cover[..., None]
        width = np.interp(openness, (0.0, 0.5), LASH_WIDTH[::-1]) * self._unit
        off = (self.b - upper) / max(width, 0.8)
        lashes = LASHES * closing * self._ends * np.exp(-off * off)
        image += (self._lash_colour - image) * lashes[..., None]
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _wide(self, openness: float) -> UInt8[np.ndarray, "r c 3"]:
        """Both lids moved apart, the eyeball magnified between them."""
        shift = 0.5 * (openness - 1.0) * self.gap
        upper, lower = self.upper - shift, self.lower + shift
        reach = 0.3 * self._unit
        above = self.upper - self._slide(upper - self.b, -shift, 0.0, reach)
        below = self.lower + self._slide(self.b - lower, -shift, 0.0, reach)
        between = self.upper + (self.b - upper) / openness
        source = np.where(self.b < upper, above, np.where(self.b > lower, below, between))
        return np.clip(np.rint(self._sample(source)), 0, 255).astype(np.uint8)

    def _skin(self) -> Bool[np.ndarray, "r c"]:
        """Pixels around the opening that are as bright as the skin below it."""
        grey = cv2.cvtColor(self._image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        below = self.b - self.lower
        under = self.inside & (below > 0.03 * self._unit) & (below < 0.2 * self._unit)
        reference = np.median(grey[under]) if under.any() else np.median(grey)
        outside = ~self.inside | (self.b < self.upper) | (self.b > self.lower)
        return outside & (np.abs(grey - reference) < LIKE_SKIN * reference + 8.0)

    def _new_skin(self, skin: Bool[np.ndarray, "r c"]) -> Float[np.ndarray, "r c 3"]:
        """Skin continued over the opening from around it, with grain and the shading of a bulging lid."""
        image = self._image.astype(np.float32)
        smooth = _fill(image, skin, 0.1 * self._unit)
        grain = self._sample(self.b + self.gap.max() + 0.06 * self._unit)
        grain -= cv2.GaussianBlur(grain, (0, 0), 0.03 * self._unit)
        down = np.clip((self.b - self.upper) / np.maximum(self.gap, 1.0), 0.0, 1.0)
        above = self.upper - self.b
        ring = (above > 0.02 * self._unit) & (above < 0.1 * self._unit) & self.inside
        darker = np.clip(np.median((image / (smooth + 1.0))[ring], axis=0), 0.85, 1.0) if ring.any() else 1.0
        shade = 0.95 + 0.24 * down * (1.0 - down)
        return smooth * darker * shade[..., None] + np.clip(grain, -8, 8)

    def _old_lashes(self, skin: Bool[np.ndarray, "r c"]) -> Float[np.ndarray, "r c"]:
        """Where lashes of the open eye stick out above U, in [0, 1]; nowhere if glasses or hair lie there."""
        above, band = self.upper - self.b, 0.07 * self._unit
        beyond = (above > band) & (above < 2 * band) & self.inside
        if not beyond.any() or skin[beyond].mean() < 0.5:
            return np.zeros_like(self.b)
        dark = cv2.GaussianBlur((~skin).astype(np.float32), (0, 0), 0.015 * self._unit)
        near = smoothstep((self._near_ends() + 0.25) / 0.25)
        return dark * near * (1.0 - smoothstep(np.abs(above) / band)) * (above > -band)

    def _near_ends(self) -> Float[np.ndarray, "r c"]:
        """0 between the corners, falling to -1 an eye's width outside of them."""
        left, right = self.a[self.inside].min(), self.a[self.inside].max()
        return np.minimum(np.minimum(self.a - left, right - self.a) / (right - left), 0.0)


def _fill(
    image: Float[np.ndarray, "r c 3"], known: Bool[np.ndarray, "r c"], sigma: float
) -> Float[np.ndarray, "r c 3"]:
    """Normalised convolution: Gaussian-weighted mean of the known pixels; their median far from them."""
    weight = known.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(image * weight[..., None], (0, 0), sigma)
    median = np.median(image[known] if known.any() else image.reshape(-1, 3), axis=0)
    faint = 0.01
    return ((blurred + faint * median) / (total + faint)).astype(np.float32)


class Mouth(Slit):
    """A mouth: lips over teeth and a dark cavity."""

    def __init__(
        self,
        portrait: UInt8[np.ndarray, "height width 3"],
        upper: Float[np.ndarray, "5 2"],
        lower: Float[np.ndarray, "5 2"],
        down: Float[np.ndarray, "2"],
        unit: float,
        dark: Float[np.ndarray, "3"],
    ):
        """As `Slit`; edges are the lips' inner ones, `unit` the interocular distance, `dark` the cavity."""
        super().__init__(portrait, upper, lower, down, 0.5 * unit)
        self._lip, self._reach, self._dark = 0.06 * unit, (0.28 * unit, 0.45 * unit), dark

    def render(self, gap: Float[np.ndarray, "r c"]) -> UInt8[np.ndarray, "r c 3"]:
        """The pixels of `box` for an opening `gap` >= 0 pixels high at every pixel's a; lips do half each."""
        shift = (self.gap - gap) / 2
        upper, lower = self.upper + shift, self.lower - shift
        above = self.upper - self._slide(upper - self.b, shift, self._lip, self._reach[0])
        below = self.lower + self._slide(self.b - lower, shift, self._lip, self._reach[1])
        skin = self._sample(np.where(self.b < (upper + lower) / 2, above, below))
        cover = np.clip(np.minimum(self.b - upper, lower - self.b) + 0.5, 0, 1) * np.clip(gap, 0, 1)
        image = skin + (self._inside_mouth(upper, gap) - skin) * cover[..., None]
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _inside_mouth(self, upper, gap) -> Float[np.ndarray, "r c 3"]:
        depth = self.b - upper
        inner = self._sample(self.upper + np.minimum(depth, self.gap + 0.5))
        below = smoothstep((depth - 0.8 * self.gap) / (0.25 * self.gap + 0.5))
        fresh = below * smoothstep((gap - self.gap) / (0.2 * self.gap + 1.0))
        return inner + (self._dark - inner) * fresh[..., None]

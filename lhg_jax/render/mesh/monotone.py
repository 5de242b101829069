"""A curve through values that change, seen at places that do not; it joins them without overshoot.

Piecewise cubic, with the slopes of Fritsch & Butland (1984). What depends on the places alone, the weights of
values and slopes in Hermite's form, is worked out once.
"""

import numpy as np
from jaxtyping import Float


class MonotoneCurve:
    """A curve over fixed knots, evaluated at fixed places."""

    def __init__(self, knots: Float[np.ndarray, "knots"], places: Float[np.ndarray, "..."]):
        """Takes at least three knots, each larger than the last, and places from the first to the last."""
        self._widths, self._shape = np.diff(knots), places.shape
        piece = np.clip(np.searchsorted(knots, places, side="right") - 1, 0, len(knots) - 2).ravel()
        width = self._widths[piece]
        t = (places.ravel() - knots[piece]) / width
        rises = t * t * (3.0 - 2.0 * t)
        weights = np.zeros((2, len(knots), t.size))
        at = np.arange(t.size)
        weights[0, piece, at], weights[0, piece + 1, at] = 1.0 - rises, rises
        weights[1, piece, at], weights[1, piece + 1, at] = width * t * (1 - t) ** 2, width * t * t * (t - 1)
        self._weights = weights.reshape(-1, t.size).astype(np.float32)

    def __call__(self, values: Float[np.ndarray, "knots"]) -> Float[np.ndarray, "..."]:
        """The curve through these values at the places, float32."""
        numbers = np.concatenate([values, self._slopes(values)], dtype=np.float32)
        return (numbers @ self._weights).reshape(self._shape)

    def _slopes(self, values: Float[np.ndarray, "knots"]) -> Float[np.ndarray, "knots"]:
        """At the knots: weighted harmonic means of the chords', 0 at a peak."""
        widths = self._widths.tolist()
        chords = (np.diff(values) / self._widths).tolist()
        inner = []
        for h, k, c, d in zip(widths, widths[1:], chords, chords[1:], strict=False):
            inner.append(3.0 * (h + k) / ((h + 2.0 * k) / c + (2.0 * h + k) / d) if c * d > 0.0 else 0.0)
        first = _end_slope(widths[0], widths[1], chords[0], chords[1])
        last = _end_slope(widths[-1], widths[-2], chords[-1], chords[-2])
        return np.array([first, *inner, last])


def _end_slope(width: float, next_width: float, chord: float, next_chord: float) -> float:
    """The parabola's slope through three points at the outer one, so bounded that nothing overshoots."""
    slope = ((2.0 * width + next_width) * chord - width * next_chord) / (width + next_width)
    if slope * chord <= 0.0:
        return 0.0
    return 3.0 * chord if chord * next_chord <= 0.0 and abs(slope) > 3.0 * abs(chord) else slope

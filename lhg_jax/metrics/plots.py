"""Distributions of per-clip numbers as inline SVG: a dot for each clip, a line at the median."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lhg_jax.metrics.table import describe, number

WIDTH, HEIGHT, MARGIN = 280, 74, 14  # pixels
RADIUS = 3.5


def distributions(records: Sequence[Mapping[str, Any]]) -> str:
    """One plot for each metric that at least one clip has."""
    names = list(dict.fromkeys(name for record in records for name in record["metrics"]))
    shown = [name for name in names if not name.endswith("_reference")]
    return "".join(_strip(name, records) for name in shown)


def _strip(name: str, records: Sequence[Mapping[str, Any]]) -> str:
    found = [(r["name"], r["metrics"][name]) for r in records if r["metrics"].get(name) is not None]
    if not found:
        return ""
    values = np.array([value for _, value in found])
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    x = (
        MARGIN + (values - low) / span * (WIDTH - 2 * MARGIN)
        if high > low
        else np.full(len(values), WIDTH / 2)
    )
    y = _stacked(x)
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{RADIUS}" data-clip="{html.escape(clip)}">'
        f"<title>{html.escape(clip)}: {number(value)}</title></circle>"
        for a, b, (clip, value) in zip(x, y, found, strict=True)
    )
    middle = float(np.median(x))
    return (
        f"<figure><figcaption>{html.escape(describe(name).label)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(name)} of each clip">'
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="56" y2="56"/>'
        f'<line class="median" x1="{middle:.1f}" x2="{middle:.1f}" y1="6" y2="56"/>{dots}'
        f'<text x="{MARGIN}" y="70">{number(low)}</text>'
        f'<text x="{WIDTH - MARGIN}" y="70" text-anchor="end">{number(high)}</text></svg></figure>'
    )


def _stacked(x: np.ndarray) -> np.ndarray:
    """Heights of dots, piled up where they would overlap, upwards from the axis and again from there."""
    y = np.zeros(len(x))
    placed: list[tuple[float, int]] = []
    for index in np.argsort(x, kind="stable"):
        level = 0
        while any(abs(x[index] - a) < 2 * RADIUS and level == b for a, b in placed):
            level += 1
        placed.append((float(x[index]), level))
        y[index] = 49 - (level % 6) * 2 * RADIUS
    return y

"""Means and 95 % intervals of runs that were scored on the same clips, and of differences between them.

Clips of one speaker share their sound, so a speaker is one observation: values are first averaged over the
clips of each. Two things are left to chance: who speaks, and how a run begins. With S seeds and K speakers,
the half interval is the root of the sum of two squares: t times the standard error over the speakers (each
the mean over the seeds), and t times that over the seeds (each the mean over the speakers). That is rather
too wide than too narrow. With one seed only the first is known. Differences are taken by seed and speaker
first, and so are narrower.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float

LEVEL = 0.95

Grid = Float[np.ndarray, "seeds speakers"]


class Estimate(NamedTuple):
    """Mean, half of its interval (NaN where nothing is known of it), and how many seeds it is of."""

    mean: float
    half: float
    seeds: int

    def overlaps(self, other: "Estimate") -> bool:
        """Whether the intervals have a point in common; those that are not known do."""
        return not abs(self.mean - other.mean) > self.half + other.half


NOTHING = Estimate(float("nan"), float("nan"), 0)


def by_speaker(values: Sequence[float | None], speakers: Sequence[str]) -> Float[np.ndarray, "speakers"]:
    """Mean over each speaker's clips, in order of their names; NaN where none of them has a value."""
    numbers = np.array([np.nan if value is None else value for value in values], float)
    who = np.array(speakers)
    means = []
    for name in sorted(set(speakers)):
        own = numbers[(who == name) & np.isfinite(numbers)]
        means.append(own.mean() if len(own) else np.nan)
    return np.array(means)


def half_width(values: Float[np.ndarray, "count"]) -> float:
    """Of the interval of a mean by Student's t; NaN for a single value."""
    if len(values) < 2:
        return float("nan")
    return float(scipy.stats.sem(values) * scipy.stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))


def estimate(grid: Grid) -> Estimate:
    """Of values by seed and speaker; speakers that lack a value in a seed are left out."""
    grid = grid[:, np.isfinite(grid).all(axis=0)]
    if not grid.size:
        return NOTHING
    halves = [half_width(grid.mean(axis=0)), half_width(grid.mean(axis=1))]
    known = [half for half in halves if np.isfinite(half)]
    half = float(np.hypot.reduce(known)) if known else float("nan")
    return Estimate(float(grid.mean()), half, len(grid))


def of_seeds(values: Sequence[float]) -> Estimate:
    """Of values that only all clips together have: one a seed."""
    found = np.array([value for value in values if np.isfinite(value)])
    return Estimate(float(found.mean()), half_width(found), len(found)) if len(found) else NOTHING


def difference(one: Mapping[int, np.ndarray], other: Mapping[int, np.ndarray]) -> Estimate:
    """Of `one` minus `other`, values by speaker of each seed, over the seeds that both have."""
    both = sorted({*one} & {*other})
    return estimate(np.stack([one[seed] - other[seed] for seed in both])) if both else NOTHING

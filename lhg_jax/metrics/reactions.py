"""Nods and shakes as events, and how well a listener's meet the true one's: R-F1, R-tIoU, R-ATD.

After GLARE (2026) and its published annotation rules, of which two profiles are here; written from their
description. A profile decides what a nod is, so no number means anything without its name.

Detection, at 25 frames/s, of one axis (nod: pitch, shake: yaw) against the other. Both lose their moving
mean of 45 frames. p is the axis, q the other; a term is divided by its 95th percentile in the clip, cut at 1:

    score = 0.40 |p| + 0.35 |p'| + 0.25 |p''| - 0.5 |q'|, then a moving mean

An event starts where the score reaches `on` and ends where it falls below `off`. It counts with enough
frames, two turning points, depth from peak to valley, and speed.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter1d

from lhg_jax.motion import Motion

RATE = 25.0  # frames/s of the published rules
TREND = 45  # frames
KINDS = ("nod", "shake")
LEAST_TIOU = 0.5


class Event(NamedTuple):
    """From `start_s` up to `end_s`."""

    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """What counts as an event.

    Attributes:
      on, off: score at which an event starts, below which it ends; shares of 1.
      smooth: frames of the score's moving mean.
      frames: shortest event.
      depth_deg: least distance from peak to valley, degrees.
      speed_deg: least largest change between two frames, degrees.
      turns: least number of turning points.
    """

    on: float
    off: float
    smooth: int
    frames: int
    depth_deg: float
    speed_deg: float = 0.2
    turns: int = 2


# GLARE gives depth and speed for nods; the same are used for shakes.
PROFILES = {
    "glare_v2": {"nod": Profile(0.58, 0.42, 9, 10, 3.0), "shake": Profile(0.50, 0.35, 9, 7, 3.0)},
    "glare_balanced": {"nod": Profile(0.50, 0.35, 9, 7, 2.0), "shake": Profile(0.50, 0.35, 9, 7, 2.0)},
}
DEFAULT_PROFILE = "glare_v2"


def detect(motion: Motion, kind: str, profile: str = DEFAULT_PROFILE) -> list[Event]:
    """Events of a kind of `KINDS` in the angles of a motion of any frame rate."""
    seconds = len(motion) / motion.fps
    times = (np.arange(int(seconds * RATE)) + 0.5) / RATE
    if len(times) < 4:
        return []
    angle = np.rad2deg(motion.at_times(times)[:, motion.space.slice("angle")].astype(np.float64))
    angle -= uniform_filter1d(angle, TREND, axis=0, mode="nearest")
    p, q = (angle[:, 0], angle[:, 1]) if kind == "nod" else (angle[:, 1], angle[:, 0])
    rules = PROFILES[profile][kind]
    runs = hysteresis(score(p, q, rules.smooth), rules.on, rules.off)
    return [Event(a / RATE, b / RATE) for a, b in runs if _counts(p[a:b], rules)]


def score(
    p: Float[np.ndarray, "frames"], q: Float[np.ndarray, "frames"], smooth: int
) -> Float[np.ndarray, "frames"]:
    """How much like an event on axis `p`, and not on `q`, each frame is."""
    speed = np.gradient(p)
    terms = [_share(x) for x in (p, speed, np.gradient(speed), np.gradient(q))]
    raw = 0.40 * terms[0] + 0.35 * terms[1] + 0.25 * terms[2] - 0.5 * terms[3]
    return uniform_filter1d(raw, smooth, mode="nearest")


def _share(values: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "frames"]:
    """Sizes over their 95th percentile, cut at 1."""
    sizes = np.abs(values)
    return np.minimum(sizes / max(float(np.percentile(sizes, 95)), 1e-9), 1.0)


def hysteresis(values: Float[np.ndarray, "frames"], on: float, off: float) -> list[tuple[int, int]]:
    """Half-open runs that start at `on` or above and last until a value is below `off`."""
    runs, start = [], None
    for t, value in enumerate(values):
        if start is None and value >= on:
            start = t
        elif start is not None and value < off:
            runs.append((start, t))
            start = None
    return runs if start is None else [*runs, (start, len(values))]


def _counts(p: Float[np.ndarray, "frames"], rules: Profile) -> bool:
    """Whether a run is long, deep, fast and winding enough."""
    if len(p) < max(rules.frames, 2):
        return False
    change = np.diff(p)
    turns = int((np.diff(np.sign(change[change != 0])) != 0).sum())
    is_fast = np.abs(change).max() >= rules.speed_deg
    return bool(turns >= rules.turns and np.ptp(p) >= rules.depth_deg and is_fast)


class Matches(NamedTuple):
    """Events of one or more clips: pairs (predicted, true) that match, and how many there are of each."""

    pairs: list[tuple[Event, Event]]
    predicted: int
    true: int


def tiou(a: Event, b: Event) -> float:
    """Temporal intersection over union."""
    shared = max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s))
    return shared / ((a.end_s - a.start_s) + (b.end_s - b.start_s) - shared)


def match(predicted: Sequence[Event], true: Sequence[Event]) -> Matches:
    """Greedy one-to-one matching of one clip's events by descending tIoU, down to `LEAST_TIOU`."""
    ranked = sorted(
        ((tiou(a, b), i, j) for i, a in enumerate(predicted) for j, b in enumerate(true)), reverse=True
    )
    pairs, used_i, used_j = [], set(), set()
    for overlap, i, j in ranked:
        if overlap >= LEAST_TIOU and i not in used_i and j not in used_j:
            pairs.append((predicted[i], true[j]))
            used_i.add(i)
            used_j.add(j)
    return Matches(pairs, len(predicted), len(true))


def reaction_scores(clips: Sequence[Matches]) -> dict[str, float]:
    """`r_f1`, `r_tiou`, `r_atd` of one kind of event, pooled over clips.

    r_f1: NaN where nobody has an event. r_tiou: mean over matches, 0 without any, NaN where nobody has an
    event. r_atd: Σ of the deviations of onset, offset and duration as shares of the true duration, times 2 if
    negative (early, short), 0.5 if positive; mean over matches, times 100; NaN without any. 0 is best.
    """
    pairs = [pair for clip in clips for pair in clip.pairs]
    events = sum(clip.predicted + clip.true for clip in clips)
    if not events:
        return dict.fromkeys(("r_f1", "r_tiou", "r_atd"), float("nan"))
    return {
        "r_f1": 2 * len(pairs) / events,
        "r_tiou": float(np.mean([tiou(*pair) for pair in pairs])) if pairs else 0.0,
        "r_atd": 100 * float(np.mean([_deviation(*pair) for pair in pairs])) if pairs else float("nan"),
    }


def _deviation(predicted: Event, true: Event) -> float:
    length_s = true.end_s - true.start_s
    onset, offset = predicted.start_s - true.start_s, predicted.end_s - true.end_s
    shares = np.array([onset, offset, offset - onset]) / length_s
    return float(np.where(shares < 0, -2 * shares, 0.5 * shares).sum())

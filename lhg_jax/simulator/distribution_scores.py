"""How well a listener's nods are distributed, beside when they come: delay and depth among all its nods.

A varied listener (`people.py`) does something else every time, so that agreement with one of its performances
has a ceiling (`ceiling`), and a listener that is always right on average is never right. What can be met
in full is the distribution.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import scipy.signal
import scipy.stats
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE, Motion
from lhg_jax.simulator.dyads import Dyad, listen_again
from lhg_jax.simulator.reactions import find_cues
from lhg_jax.simulator.rule_scores import detect_nods, mean_probe, probe

LATEST_S = 2.0  # a nod this long after the end of a phrase no longer answers it
_TREND_FRAMES = 45  # posture, which is no part of a nod's depth
_LONGEST_NOD_S = 2.5


def nod_delays(motion: Motion, dyad: Dyad) -> list[float]:
    """Seconds from the nearest end of a phrase to the onset of each detected nod that follows one."""
    ends = np.array([cue.time_s for cue in find_cues(dyad.speech) if cue.place != "inside"])
    delays = []
    for onset_s in detect_nods(motion):
        before = ends[ends <= onset_s]
        if len(before) and onset_s - before[-1] <= LATEST_S:
            delays.append(float(onset_s - before[-1]))
    return delays


def nod_depths(motion: Motion) -> list[float]:
    """Degrees of each detected nod: how far the pitch gets below its trend."""
    pitch = _detrended_pitch(motion)
    onsets = [*detect_nods(motion), np.inf]
    depths = []
    for onset_s, following_s in itertools.pairwise(onsets):
        first = max(0, round(onset_s * FRAME_RATE))
        last = round(min(onset_s + _LONGEST_NOD_S, following_s) * FRAME_RATE)
        depths.append(float(pitch[first : last + 1].max()))
    return depths


def ks_distance(found: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two samples, 0-1; 1 where only one is empty, NaN where both are."""
    if not len(found) or not len(true):
        return float("nan") if len(found) == len(true) else 1.0
    return float(scipy.stats.ks_2samp(found, true).statistic)


def distribution_scores(listeners: Sequence[Motion], dyads: Sequence[Dyad]) -> dict[str, float]:
    """Listeners of many dyads, taken together, against the dyads' own.

    Args:
      listeners: one for each dyad, or several for each: the dyads again and again.
      dyads: as many as listeners.

    Returns:
      nod_delay_ks, nod_depth_ks: Kolmogorov-Smirnov distances.
      nods_per_min, true_nods_per_min: detected in both alike.
    """
    pairs = list(zip(listeners, dyads, strict=True))
    minutes = sum(len(dyad.listener) for dyad in dyads) / FRAME_RATE / 60
    delays = [delay for motion, dyad in pairs for delay in nod_delays(motion, dyad)]
    depths = [depth for motion, _ in pairs for depth in nod_depths(motion)]
    true_delays = [delay for dyad in dyads for delay in nod_delays(dyad.listener, dyad)]
    true_depths = [depth for dyad in dyads for depth in nod_depths(dyad.listener)]
    return {
        "nod_delay_ks": ks_distance(delays, true_delays),
        "nod_depth_ks": ks_distance(depths, true_depths),
        "nods_per_min": len(depths) / minutes,
        "true_nods_per_min": len(true_depths) / minutes,
    }


def ceiling(dyads: Sequence[Dyad], seed: int) -> dict[str, float]:
    """The best that can be asked for: the same people, listening to the same speakers another time.

    Returns:
      The means of `rule_scores.probe` and `distribution_scores`.
    """
    again = [listen_again(dyad, seed + number) for number, dyad in enumerate(dyads)]
    events = mean_probe(probe(motion, dyad) for motion, dyad in zip(again, dyads, strict=True))
    return events | distribution_scores(again, dyads)


def _detrended_pitch(motion: Motion) -> Float[np.ndarray, "frames"]:
    """Degrees."""
    pitch = np.rad2deg(motion.part("angle")[:, 0].astype(np.float64))
    longest = len(pitch) - 1 + len(pitch) % 2
    return pitch - scipy.signal.savgol_filter(pitch, min(_TREND_FRAMES, longest), 1)

"""Probes: how well a listener's motion follows each rule of `rules.py`, measured from the motion alone.

`probe` compares any listener (the simulator's own, or a model's) with what the rules foresee for a dyad.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.optimize
import scipy.signal
from jaxtyping import Bool, Float

from lhg_jax.motion import FRAME_RATE, Motion, require_same_space
from lhg_jax.simulator.curves import frame_times
from lhg_jax.simulator.dyads import Dyad
from lhg_jax.simulator.rules import MIRROR_SIGNS, Event, mirror_response, sentiment, smile_response
from lhg_jax.styles import action_amounts

# Chosen for the simulator, not from the literature: between what its rules make and its noise. At 1.2-5 Hz
# the strokes of its faintest nods reach 0.87 degrees and more, all but the first and last swing of its
# faintest shakes 2.2, and its noise 0.16 (largest of 3000 frames).
_LEAST_NOD_DEG = 0.6  # a stroke of a nod, about the mean
_LEAST_SHAKE_DEG = 0.8  # a swing of a shake
WINDOW_S = 0.25  # a detected onset this far from a foreseen one still counts: half a cycle of a nod is 0.22 s
_RUN_GAP_S = 0.65
_LEAST_BLINK = 0.35  # share of a full blink
_LEAST_MOVEMENT_DEG = 1.0  # a speaker who moves less gives nothing to mirror
_LAGS = np.arange(0, int(2 * FRAME_RATE) + 1)  # frames

# Scores: 1 is the rule followed to the letter, about 0 is unrelated motion.
SCORES = ("nod_f1", "shake_f1", "smile_correlation", "mirror_correlation", "blink_recall")


def probe(listener: Motion, dyad: Dyad) -> dict[str, float]:
    """Measures one listener against the rules of one dyad; NaN where the dyad gives no occasion.

    Args:
      listener: as long as `dyad.listener`, LANDMARK space; values relative to its own first frame count.
      dyad: what was said, the speaker's motion and the foreseen events.

    Returns:
      nod_f1, shake_f1: F1 of onsets detected within `WINDOW_S` of foreseen ones.
      nod_lag_error_s: mean distance of matched nod onsets from the foreseen ones, s.
      smile_correlation: of smile minus frown with the response that the rules foresee.
      smile_lag_s: delay after the words' sentiment at which the correlation is largest, s.
      mirror_correlation: of pitch, yaw and roll without nods and shakes with the response foreseen.
      mirror_gain, mirror_gain_error: share of the speaker's pose taken up, and its distance from the style's.
      mirror_lag_s: delay after the speaker's pose at which the correlation is largest, s.
      blink_per_min: blinks a minute.
      blink_recall: share of blinks foreseen at sentence ends that are there.
    """
    require_same_space("listener", listener.space, "dyad", dyad.listener.space)
    nods = detect_nods(listener)
    measures = {
        "nod_f1": f1(nods, _times(dyad.events, "nod")),
        "nod_lag_error_s": _lag_error(nods, _times(dyad.events, "nod")),
        "shake_f1": f1(detect_shakes(listener), _times(dyad.events, "shake")),
    }
    return measures | _smile(listener, dyad) | _mirroring(listener, dyad) | _blinks(listener, dyad)


def mean_probe(probes: Iterable[dict[str, float]]) -> dict[str, float]:
    """Mean of each measure over dyads, NaN left out (NaN if nothing is left)."""
    rows = list(probes)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        name: float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")
        for name, values in columns.items()
    }


def controls(motion: Motion) -> dict[str, Float[np.ndarray, "frames"]]:
    """How much of each action of the face model is on the face, from the first frame (least squares)."""
    return action_amounts(motion.part("exp") - motion.part("exp")[0])


def feeling(motion: Motion) -> Float[np.ndarray, "frames"]:
    """Smile minus frown from the first frame."""
    actions = controls(motion)
    return actions["smile"] - actions["frown"]


def detect_nods(motion: Motion) -> list[float]:
    """Onsets (s) of nods: two or more strokes of pitch at 1.2-5 Hz, half a cycle before the first one."""
    pitch = _fast(np.rad2deg(motion.part("angle")[:, 0]))
    runs = [run for run in _runs_of_peaks(pitch, _LEAST_NOD_DEG) if len(run) > 1]
    return [float((run[0] + 0.5 - np.median(np.diff(run)) / 2) / FRAME_RATE) for run in runs]


def detect_shakes(motion: Motion) -> list[float]:
    """Onsets (s) of shakes: three or more swings of yaw at 1.2-5 Hz, a swing before the first one."""
    yaw = _fast(np.rad2deg(motion.part("angle")[:, 1]))
    runs = [run for run in _runs_of_peaks(np.abs(yaw), _LEAST_SHAKE_DEG) if len(run) > 2]
    return [float((run[0] + 0.5 - np.median(np.diff(run))) / FRAME_RATE) for run in runs]


def f1(found: Sequence[float], expected: Sequence[float], window_s: float = WINDOW_S) -> float:
    """F1 of a one-to-one matching of times within `window_s`; NaN if there is nothing to find or found."""
    if not found and not expected:
        return float("nan")
    return 2 * len(_match(found, expected, window_s)) / (len(found) + len(expected))


def _match(found: Sequence[float], expected: Sequence[float], window_s: float) -> list[float]:
    """Differences found - expected (s) of the best one-to-one matching of times within `window_s`."""
    if not found or not expected:
        return []
    difference = np.subtract.outer(np.array(found), np.array(expected))
    far = np.where(np.abs(difference) > window_s, 1e3, np.abs(difference))
    rows, columns = scipy.optimize.linear_sum_assignment(far)
    pairs = difference[rows, columns]
    return [float(pair) for pair in pairs if abs(pair) <= window_s]


def _times(events: Iterable[Event], kind: str) -> list[float]:
    return [event.time_s for event in events if event.kind == kind]


def _lag_error(found: Sequence[float], expected: Sequence[float]) -> float:
    pairs = _match(found, expected, window_s=0.5)
    return float(np.mean(np.abs(pairs))) if pairs else float("nan")


def _fast(curve: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "frames"]:
    """What is left at 1.2-5 Hz."""
    sections = scipy.signal.butter(2, (1.2, 5.0), "bandpass", fs=FRAME_RATE, output="sos")
    return scipy.signal.sosfiltfilt(sections, curve, padlen=min(30, len(curve) - 1))


def _runs_of_peaks(curve: np.ndarray, least: float) -> list[np.ndarray]:
    """Frames of peaks above `least`, in runs of peaks less than `_RUN_GAP_S` apart."""
    peaks, _ = scipy.signal.find_peaks(curve, height=least)
    return np.split(peaks, np.flatnonzero(np.diff(peaks) > _RUN_GAP_S * FRAME_RATE) + 1)


def _correlation(a: Float[np.ndarray, "frames part"], b: Float[np.ndarray, "frames part"]) -> float:
    """Correlation of two curves, each part from its own mean; 0 if either is constant."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / norm) if norm > 1e-9 else 0.0


def _best_lag_s(response: np.ndarray, cause: np.ndarray, keep: np.ndarray) -> float:
    """Delay (0-2 s) of the response [frames, part] after its cause at which they correlate most.

    `keep` [frames] says which frames of the response count.
    """
    frames = np.arange(len(response))
    scores = []
    for lag in _LAGS:
        used = frames[keep & (frames >= lag)]
        scores.append(_correlation(response[used], cause[used - lag]))
    return float(_LAGS[int(np.argmax(scores))] / FRAME_RATE)


def _smile(listener: Motion, dyad: Dyad) -> dict[str, float]:
    frames = len(listener)
    expected = smile_response(dyad.speech, frames, dyad.params)
    if not expected.any():
        return {"smile_correlation": float("nan"), "smile_lag_s": float("nan")}
    shown = feeling(listener)[:, None]
    cause = sentiment(dyad.speech, frames, dyad.params)[:, None]
    return {
        "smile_correlation": _correlation(shown, expected[:, None]),
        "smile_lag_s": _best_lag_s(shown, cause, np.ones(frames, bool)),
    }


def _mirroring(listener: Motion, dyad: Dyad) -> dict[str, float]:
    """Compares slow poses in the frames without a foreseen nod or shake, all three angles together."""
    expected = mirror_response(dyad.speaker, dyad.params)
    if np.sqrt((expected**2).mean()) < np.deg2rad(_LEAST_MOVEMENT_DEG):
        names = ("mirror_correlation", "mirror_gain", "mirror_gain_error", "mirror_lag_s")
        return dict.fromkeys(names, float("nan"))
    keep = _free_of_events(dyad)
    shown = listener.part("angle").astype(np.float64)
    used, foreseen = (curve[keep] - curve[keep].mean(axis=0) for curve in (shown, expected))
    gain = float((used * foreseen).sum() / (foreseen**2).sum())
    return {
        "mirror_correlation": _correlation(used, foreseen),
        "mirror_gain": gain,
        "mirror_gain_error": abs(gain - dyad.style.mirror_gain),
        "mirror_lag_s": _best_lag_s(shown, dyad.speaker.part("angle") * MIRROR_SIGNS, keep),
    }


def _free_of_events(dyad: Dyad) -> Bool[np.ndarray, "frames"]:
    """Frames in which no nod or shake is foreseen; a short nod counts as long as the rules' longest."""
    times = frame_times(len(dyad.listener))
    least_s = {"nod": max(dyad.params.nod_cycles) / dyad.params.nod_hz, "shake": 0.0}
    keep = np.ones(len(times), bool)
    for event in dyad.events:
        if event.kind in least_s:
            end_s = event.time_s + max(event.duration_s, least_s[event.kind])
            keep &= (times < event.time_s) | (times > end_s)
    return keep


def _blinks(listener: Motion, dyad: Dyad) -> dict[str, float]:
    peaks, _ = scipy.signal.find_peaks(controls(listener)["blink"], height=_LEAST_BLINK)
    onsets = [(peak + 0.5) / FRAME_RATE - dyad.params.blink_s / 2 for peak in peaks]
    expected = _times(dyad.events, "blink")
    matched = len(_match(onsets, expected, WINDOW_S))
    return {
        "blink_per_min": 60 * len(onsets) * FRAME_RATE / len(listener),
        "blink_recall": matched / len(expected) if expected else float("nan"),
    }

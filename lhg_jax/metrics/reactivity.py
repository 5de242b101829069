"""Does a listener's motion depend on the speaker? A gain in prediction with a null of shifted speakers.

After the idea of R-DGG (2026), a Granger-type test; details ours. Signals of listeners are standardised by
the true ones. Two linear predictors of the next frame are fitted on true listeners by ridge regression: one
from one second of the listener's own past, one from that and one second of the speaker. On a system's motion

    gain = log(RSS_own / RSS_own_and_speaker)

and again with each clip's speaker shifted in time, round the clip's ends, by a random 2 s or more: 100 times.
`net` is the gain above the mean of these, `p` the share of shifts (and one) that do as well. Talking heads
that never hear the speaker can have good distances and still gain nothing.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.styles import action_amounts

LAGS = 30  # frames of the past, 1 s
SHIFTS = 100
LEAST_SHIFT = int(2 * FRAME_RATE)  # frames
RIDGE = 1e-3  # of the number of frames, for standardised signals

Signals = Float[np.ndarray, "_ _"]


@dataclasses.dataclass(frozen=True)
class Clip:
    """One conversation as signals, equally long.

    Attributes:
      motion: of the listener under test.
      target: of the true listener.
      speaker: whatever is known of the speaker.
    """

    motion: Signals
    target: Signals
    speaker: Signals


def listener_signals(motion: Motion) -> Signals:
    """Angles (degrees) and, in the `landmark` space, amounts of the face model's actions."""
    angle = np.rad2deg(motion.part("angle").astype(np.float64))
    if motion.space != LANDMARK:
        return np.concatenate([angle, motion.part("exp").astype(np.float64)], axis=1)
    return np.stack([*angle.T, *action_amounts(motion.part("exp")).values()], axis=1)


def reactivity(clips: Sequence[Clip], seed: int = 0, shifts: int = SHIFTS) -> dict[str, float]:
    """`gain`, `net` and `p` of the listeners of `clips`; NaN for fewer than two clips longer than 5 s.

    Each half of the clips is predicted by what was fitted on the true listeners of the other half.
    """
    clips = [clip for clip in clips if len(clip.target) > 2 * LEAST_SHIFT + LAGS]
    if len(clips) < 2:
        return dict.fromkeys(("gain", "net", "p"), float("nan"))
    clips = standardise(clips)
    rng = np.random.default_rng(seed)
    own_rss, rss = 0.0, np.zeros(shifts + 1)
    for half in (0, 1):
        fit = Predictors.of(clips[1 - half :: 2])
        for clip in clips[half::2]:
            own, both = fit.errors(clip, [0, *_random_shifts(rng, len(clip.motion), shifts)])
            own_rss, rss = own_rss + own, rss + both
    gains = np.log(own_rss / rss)
    null = gains[1:]
    beaten = int((null >= gains[0]).sum())
    return {
        "gain": float(gains[0]),
        "net": float(gains[0] - null.mean()),
        "p": (1 + beaten) / (1 + shifts),
    }


def _random_shifts(rng: np.random.Generator, frames: int, count: int) -> list[int]:
    return rng.integers(LEAST_SHIFT, frames - LEAST_SHIFT + 1, count).tolist()


def standardise(clips: Sequence[Clip]) -> list[Clip]:
    """Mean 0 and deviation 1 over the true listeners, and over the speakers; what never moves stays 0."""
    target, speaker = (_scale([getattr(clip, name) for clip in clips]) for name in ("target", "speaker"))
    return [Clip(target(c.motion), target(c.target), speaker(c.speaker)) for c in clips]


def _scale(arrays: Sequence[Signals]):
    rows = np.concatenate(arrays).astype(np.float64)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = np.where(std > 1e-9, std, np.inf)
    return lambda values: (values.astype(np.float64) - mean) / std


@dataclasses.dataclass(frozen=True)
class Predictors:
    """Weights [lag * size, size] for the own past alone, and for own past and speaker."""

    alone: Signals
    own: Signals
    speaker: Signals

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> "Predictors":
        """Fitted on true listeners."""
        own = np.concatenate([lagged(clip.target) for clip in clips])
        speaker = np.concatenate([lagged(clip.speaker) for clip in clips])
        next_frames = np.concatenate([clip.target[LAGS:] for clip in clips])
        both = ridge(np.concatenate([own, speaker], axis=1), next_frames)
        return cls(ridge(own, next_frames), both[: own.shape[1]], both[own.shape[1] :])

    def errors(self, clip: Clip, shifts: Sequence[int]) -> tuple[float, Float[np.ndarray, "shifts"]]:
        """Squared errors on the clip's motion without the speaker, and with the speaker at each shift."""
        past, now = lagged(clip.motion), clip.motion[LAGS:]
        alone = float(np.square(now - past @ self.alone).sum())
        left = now - past @ self.own
        # A filter of a shifted speaker is the shifted result of the filter.
        around = np.concatenate([clip.speaker[-LAGS:], clip.speaker])
        heard = lagged(around) @ self.speaker
        return alone, np.array(
            [np.square(left - np.roll(heard, shift, axis=0)[LAGS:]).sum() for shift in shifts]
        )


def lagged(values: Signals) -> Float[np.ndarray, "_ lags_size"]:
    """[T - LAGS, LAGS * size]: row t holds the LAGS frames before frame t + LAGS."""
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], LAGS, axis=0)
    return windows.reshape(len(windows), -1)


def ridge(x: Signals, y: Signals) -> Signals:
    """Weights of y on x."""
    penalty = RIDGE * len(x) * np.eye(x.shape[1])
    return np.linalg.solve(x.T @ x + penalty, x.T @ y)


def swap_ratio(
    motions: Sequence[Signals], other_seed: Sequence[Signals], other_speaker: Sequence[Signals]
) -> float:
    """How much more another speaker changes the motion than another seed; above 1 the listener listens.

    Args:
      motions: of one seed, a clip each.
      other_seed: the same clips by another seed.
      other_speaker: the same seed and first frame with another clip's speaker; compared as far as both go.
    """

    def difference(others: Sequence[Signals]) -> float:
        squares = [np.square(a[: len(b)] - b[: len(a)]).mean() for a, b in zip(motions, others, strict=True)]
        return float(np.mean(squares)) ** 0.5

    return difference(other_speaker) / max(difference(other_seed), 1e-12)

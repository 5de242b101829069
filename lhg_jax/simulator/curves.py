"""Shapes and filters that behaviour is made of, over frames at 30 frames/s."""

from collections.abc import Iterable

import numpy as np
import scipy.ndimage
import scipy.signal
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE


def frame_times(frames: int) -> Float[np.ndarray, "frames"]:
    """Middle of each frame, s."""
    return (np.arange(frames) + 0.5) / FRAME_RATE


def bump(times_s: np.ndarray, start_s: float, duration_s: float) -> np.ndarray:
    """Raised cosine, 0 -> 1 -> 0 within [start_s, start_s + duration_s]."""
    phase = np.clip((times_s - start_s) / duration_s, 0, 1)
    return (1 - np.cos(2 * np.pi * phase)) / 2


def nod(times_s: np.ndarray, start_s: float, cycles: int, frequency_hz: float) -> np.ndarray:
    """A damped series of down-strokes, the first about 1 deep and each shallower than the one before."""
    phase = np.clip((times_s - start_s) * frequency_hz, 0, cycles)
    return (1 - np.cos(2 * np.pi * phase)) / 2 * (1.1 - 0.7 * phase / cycles)


def shake(times_s: np.ndarray, start_s: float, cycles: int, frequency_hz: float) -> np.ndarray:
    """An oscillation about 0 that grows and dies away, within [-1, 1]."""
    phase = np.clip((times_s - start_s) * frequency_hz, 0, cycles)
    return np.sin(2 * np.pi * phase) * np.sin(np.pi * phase / cycles) ** 2


def spread(times_s: np.ndarray, spans: Iterable[tuple[float, float, float]]) -> np.ndarray:
    """Sum of boxes (start s, end s, height), clipped to [-1, 1]."""
    total = np.zeros(len(times_s))
    for start_s, end_s, height in spans:
        total += height * ((times_s >= start_s) & (times_s < end_s))
    return np.clip(total, -1, 1)


def follow(signal: np.ndarray, delay_s: float, time_constant_s: float) -> np.ndarray:
    """Causal response to a signal [frames, ...]: a delay, then a critically damped second-order low-pass.

    It starts at rest on the signal's first value; slow signals come `delay_s + 2 time_constant_s` late.
    """
    frames = np.arange(len(signal))
    shift = delay_s * FRAME_RATE
    columns = signal.reshape(len(signal), -1)
    delayed = np.stack([np.interp(frames - shift, frames, column) for column in columns.T], axis=1)
    keep = np.exp(-1 / FRAME_RATE / time_constant_s)
    start = delayed[:1]
    for _ in range(2):
        delayed = scipy.signal.lfilter([1 - keep], [1, -keep], delayed - start, axis=0) + start
    return delayed.reshape(signal.shape)


def drift(rng: np.random.Generator, times_s: np.ndarray, amplitude: float, band_hz: tuple[float, float]):
    """A slow wandering: three sinusoids of random phase and frequency, of standard deviation `amplitude`."""
    frequencies, phases = rng.uniform(*band_hz, 3), rng.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * np.outer(times_s, frequencies) + phases)
    return amplitude * np.sqrt(2 / 3) * waves.sum(axis=1)


def smooth_noise(rng: np.random.Generator, frames: int, scales: np.ndarray) -> np.ndarray:
    """Gaussian noise [frames, len(scales)] smooth over a fifth of a second; `scales`: standard deviations."""
    sigma = 3.0  # frames
    noise = scipy.ndimage.gaussian_filter1d(rng.standard_normal((frames, len(scales))), sigma, axis=0)
    return noise * np.sqrt(2 * np.sqrt(np.pi) * sigma) * scales


def random_times(
    rng: np.random.Generator, duration_s: float, rate_per_min: float, taken: Iterable[float], gap_s: float
) -> list[float]:
    """Times (s) of a Poisson process, without those closer than `gap_s` to one another or to a taken time."""
    times: list[float] = sorted(taken)
    fresh: list[float] = []
    for time_s in np.sort(rng.uniform(0, duration_s, rng.poisson(rate_per_min * duration_s / 60))):
        if all(abs(time_s - other) >= gap_s for other in (*times, *fresh)):
            fresh.append(float(time_s))
    return fresh


def step(times_s: np.ndarray, start_s: float, duration_s: float) -> np.ndarray:
    """0 -> 1 with the least jerk: how hands and heads are moved from one place to another."""
    phase = np.clip((times_s - start_s) / duration_s, 0, 1)
    return phase**3 * (10 - 15 * phase + 6 * phase**2)

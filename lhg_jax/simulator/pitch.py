"""Fundamental frequency of clean speech, and the pitch cue that invites a back-channel."""

import numpy as np
import scipy.signal
from jaxtyping import Bool, Float

PITCH_RATE = 100  # frames/s
_WINDOW_S = 0.05
_RANGE_HZ = (50.0, 400.0)
_VOICING = 0.6  # least normalised autocorrelation of a voiced frame
_SILENCE = 0.02  # least RMS of a voiced frame, relative to the loudest frame


def track_pitch(wave: Float[np.ndarray, "samples"], sample_rate: int = 16000) -> Float[np.ndarray, "steps"]:
    """F0 in Hz at 100 frames/s (step k centred at k/100 s), 0 where the frame is not voiced.

    Normalised autocorrelation of Hann windows divided by the window's own (Boersma 1993), parabolic peaks,
    median filter over 50 ms. Meant for clean speech: synthetic speech before noise is added.
    """
    window = np.hanning(round(_WINDOW_S * sample_rate))
    hop = sample_rate // PITCH_RATE
    padded = np.pad(wave.astype(np.float64), len(window) // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    lags, correlation = _autocorrelation(frames, window, sample_rate)
    # A slight preference for short lags avoids octave errors.
    best = np.argmax(correlation[:, 1:-1] - 0.0008 * sample_rate / 16000 * lags[1:-1], axis=1) + 1
    rows = np.arange(len(best))
    left, peak, right = (correlation[rows, best + k] for k in (-1, 0, 1))
    curvature = left - 2 * peak + right
    shift = np.where(curvature < 0, (left - right) / 2 / np.where(curvature < 0, curvature, 1), 0)
    loudness = np.sqrt((frames**2).mean(axis=1))
    voiced = (peak > _VOICING) & (loudness > _SILENCE * max(loudness.max(), 1e-4))
    f0 = np.where(voiced, sample_rate / (lags[best] + np.clip(shift, -0.5, 0.5)), 0.0)
    return scipy.signal.medfilt(f0, 5)


def _autocorrelation(frames, window, sample_rate):
    """Lags (samples) of the pitch range, and each frame's normalised autocorrelation at them."""
    size = 2 ** int(np.ceil(np.log2(2 * len(window))))
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)
    lags = np.arange(int(sample_rate / _RANGE_HZ[1]), int(sample_rate / _RANGE_HZ[0]) + 2)
    correlation = np.fft.irfft(power)
    energy = np.maximum(correlation[:, :1], 1e-9)
    return lags, correlation[:, lags] / energy / (own[lags] / own[0])


def low_pitch_cues(
    f0: Float[np.ndarray, "steps"],
    speaking: np.ndarray,
    *,
    percentile: float,
    region_s: float,
    speech_s: float,
    final_s: float,
) -> list[float]:
    """Times (s) at which a phrase ends whose last sounds were low: P1-P3 of Ward & Tsukahara (2000).

    They count their wait from the low region itself, wherever it is in the phrase. Here only regions at a
    phrase's end count, and the wait runs from that end, which pitch, loudness and words all give away.

    Args:
      f0: Hz at `PITCH_RATE`, 0 where unvoiced.
      speaking: bool at `PITCH_RATE`, true from a phrase's first sample to its last.
      percentile: pitch below this percentile of the clip's voiced steps is low.
      region_s: how long it must stay low, in one voiced stretch.
      speech_s: least unbroken speech before the cue.
      final_s: the low region must reach into the last seconds of the phrase.
    """
    if not (f0 > 0).any():
        return []
    low = (f0 > 0) & (f0 < np.percentile(f0[f0 > 0], percentile))
    long_low = _run_lengths(low) >= round(region_s * PITCH_RATE)
    spoken = _run_lengths(speaking)
    ends = np.flatnonzero(speaking[:-1] & ~speaking[1:] & (spoken[:-1] >= speech_s * PITCH_RATE))
    reach = round(final_s * PITCH_RATE)
    return [float(end) / PITCH_RATE for end in ends if long_low[max(0, end - reach) : end + 1].any()]


def low_pitch_regions(
    f0: Float[np.ndarray, "steps"],
    speaking: Bool[np.ndarray, "steps"],
    *,
    percentile: float,
    region_s: float,
    speech_s: float,
) -> list[float]:
    """Ends (s) of all regions of low pitch, wherever they are in a phrase; arguments of `low_pitch_cues`."""
    if not (f0 > 0).any():
        return []
    low = (f0 > 0) & (f0 < np.percentile(f0[f0 > 0], percentile))
    long_enough = (_run_lengths(low) >= round(region_s * PITCH_RATE))[:-1]
    ends = np.flatnonzero(long_enough & ~low[1:] & (_run_lengths(speaking)[:-1] >= speech_s * PITCH_RATE))
    return [float(end) / PITCH_RATE for end in ends]


def _run_lengths(mask: np.ndarray) -> np.ndarray:
    """How many true steps in a row end at each step."""
    steps = np.arange(len(mask))
    last_false = np.maximum.accumulate(np.where(mask, -1, steps))
    return steps - last_false

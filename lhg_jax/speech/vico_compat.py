"""The ViCo baseline's own audio features, for comparison with it only: `mfcc` is better in every respect.

Each frame sees its own 1/30 s of 44.1 kHz sound and nothing around it, and samples in [-1, 1] meet Kaldi's
energy floor for 16-bit values, so that coefficient 0 is 0 wherever the RMS is below about 0.03. One window
fits into a frame, so the published differences are rounding noise; here those 26 columns are zeros.
"""

import numpy as np
from jaxtyping import Float

from lhg_jax.util.errors import UserError

SAMPLE_RATE = 44_100  # Hz; the published 45 columns exist at this rate only
FRAME_SAMPLES = SAMPLE_RATE // 30
COLUMNS = 45
# Columns that say something: 13 MFCC, 3 RMS, 3 zero-crossing rates (which are equal).
MFCC, RMS, ZERO_CROSSINGS = slice(0, 13), slice(39, 42), slice(42, 45)

WINDOW_SAMPLES = int(0.025 * SAMPLE_RATE)
FFT_SIZE = 2048
MEL_BANDS, LOWEST_HZ = 23, 20.0
PRE_EMPHASIS, LIFTER, ENERGY_FLOOR = 0.97, 22, 1.0
EPSILON = np.float32(np.finfo(np.float32).eps)
RMS_FRAME, RMS_HOP = 2048, 512
SILENT = 1e-10  # a sample of at most this size counts as +0 for zero crossings


def vico_audio(wave: Float[np.ndarray, "samples"], frames: int) -> Float[np.ndarray, "frames 45"]:
    """13 MFCC, 13 + 13 zeros, 3 RMS, 3 zero-crossing rates per frame, float32.

    Args:
      wave: 44.1 kHz mono in [-1, 1], cut or filled up with zeros to the length of the clip.
      frames: T, at least 1.

    Raises:
      UserError: no samples, no frames, or samples that are not finite.
    """
    if frames < 1 or not len(wave) or not np.isfinite(wave).all():
        raise UserError("audio features need at least one frame and finite samples")
    samples = np.zeros(frames * FRAME_SAMPLES, np.float32)
    samples[: len(wave)] = wave[: len(samples)]
    rows = samples.reshape(frames, FRAME_SAMPLES)
    features = np.zeros((frames, COLUMNS), np.float32)
    features[:, MFCC] = _kaldi_mfcc(rows[:, :WINDOW_SAMPLES])
    features[:, RMS] = _rms(rows)
    features[:, ZERO_CROSSINGS] = _crossings(rows)[:, None] / SAMPLE_RATE
    return features


def _kaldi_mfcc(window: Float[np.ndarray, "frames samples"]) -> Float[np.ndarray, "frames 13"]:
    """Kaldi's MFCC with `use_energy` and without dither, one window a frame (Povey et al. 2011)."""
    window = window - window.mean(axis=1, keepdims=True)
    log_energy = np.log(np.maximum((window**2).sum(axis=1), EPSILON))
    before = np.concatenate([window[:, :1], window[:, :-1]], axis=1)
    shaped = (window - np.float32(PRE_EMPHASIS) * before) * np.hanning(WINDOW_SAMPLES) ** 0.85
    power = np.abs(np.fft.rfft(shaped, FFT_SIZE)) ** 2
    log_mel = np.log(np.maximum(power @ _mel_filters().T, EPSILON))
    coefficients = log_mel @ _dct().T
    number = np.arange(13)
    coefficients *= 1 + LIFTER / 2 * np.sin(np.pi * number / LIFTER)
    coefficients[:, 0] = np.maximum(log_energy, np.log(ENERGY_FLOOR))
    return coefficients.astype(np.float32)


def _mel_filters() -> Float[np.ndarray, "bands bins"]:
    """Triangles that are equally wide in Kaldi's mel, 1127 ln(1 + f / 700); the Nyquist bin is left out."""

    def mel(hz):
        return 1127 * np.log1p(np.asarray(hz) / 700)

    bins = np.arange(FFT_SIZE // 2) * SAMPLE_RATE / FFT_SIZE
    edges = np.linspace(mel(LOWEST_HZ), mel(SAMPLE_RATE / 2), MEL_BANDS + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (mel(bins) - left) / (centre - left), (right - mel(bins)) / (right - centre)
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return np.pad(triangles, [(0, 0), (0, 1)])


def _dct() -> Float[np.ndarray, "13 bands"]:
    row, band = np.arange(13)[:, None], np.arange(MEL_BANDS)
    return np.sqrt(2 / MEL_BANDS) * np.cos(np.pi * row * (band + 0.5) / MEL_BANDS)


def _rms(rows: Float[np.ndarray, "frames samples"]) -> Float[np.ndarray, "frames 3"]:
    """Over 2048 samples around 0, 512 and 1024, the row mirrored at its ends (librosa 0.8)."""
    padded = np.pad(rows, [(0, 0), (RMS_FRAME // 2, RMS_FRAME // 2)], mode="reflect")
    energy = [
        (padded[:, k * RMS_HOP : k * RMS_HOP + RMS_FRAME].astype(np.float64) ** 2).mean(axis=1)
        for k in range(3)
    ]
    return np.sqrt(np.stack(energy, axis=1))


def _crossings(rows: Float[np.ndarray, "frames samples"]) -> Float[np.ndarray, "frames"]:
    """Number of changes of sign inside each row; -0 and tiny values count as positive."""
    negative = rows < -SILENT
    return (negative[:, 1:] != negative[:, :-1]).sum(axis=1).astype(np.float64)

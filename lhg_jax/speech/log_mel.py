"""Log-mel spectrogram whose steps stand at exactly m/60 s (fractional hop), in JAX (DESIGN section 3).

Equal to `librosa.feature.melspectrogram` (Slaney scale and norm, Hann window, power) followed by
`power_to_db` wherever the hop is a whole number of samples.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lhg_jax.features import MEL_BANDS, mel_steps
from lhg_jax.motion import FRAME_RATE
from lhg_jax.util.errors import UserError

SAMPLE_RATE = 16000  # Hz
FFT_SIZE = 1024  # samples; also the length of the window
STEP_RATE = 2 * FRAME_RATE  # steps/s
POWER_MIN = 1e-10  # smallest mel power, -100 dB: what digital silence has
RANGE_DB = 80.0  # values lie in [-RANGE_DB, 0]
# The loudest step of speech whose RMS level is about -55 dBFS (measured: RMS level + 45 dB). Anything
# quieter is background, which must not be lifted to 0 dB as if somebody spoke.
REFERENCE_FLOOR_DB = -10.0
_LINEAR_HZ, _LINEAR_MELS = 1000.0, 15.0  # where Slaney's mel scale turns from linear to logarithmic
_LOG_STEP = np.log(6.4) / 27  # per mel above
CHUNK = 512  # steps computed at once: one small compilation serves every length


def log_mel(wave: Float[np.ndarray, "samples"], frames: int) -> Float[np.ndarray, "steps 128"]:
    """Log-mel of a clip of `frames` motion frames; M = `mel_steps(frames)` steps, step m centred at m/60 s.

    Args:
      wave: 16 kHz mono in [-1, 1]; cut or filled up with zeros to the length of the clip.
      frames: length of the clip at 30 frames/s.

    Returns:
      float32 dB in [-80, 0], relative to the loudest value of the clip as in HA2G, or to `REFERENCE_FLOOR_DB`
      where the whole clip is quieter than that. Steps after the end of the clip are -80.

    Raises:
      UserError: no samples, no frames, or samples that are not finite.
    """
    decibels = mel_decibels(cut_wave(wave, frames), mel_steps(frames), STEP_RATE)
    return relative_to_maximum(decibels, REFERENCE_FLOOR_DB)


def cut_wave(wave: Float[np.ndarray, "samples"], frames: int) -> Float[np.ndarray, "cut"]:
    """The part of `wave` within `frames` motion frames, not copied. Raises as `log_mel` does."""
    if frames < 1:
        raise UserError(f"speech: a clip of {frames} frames (at least one frame is needed)")
    if len(wave) == 0:
        raise UserError("speech: no sound samples (give a file with sound)")
    if not np.isfinite(wave).all():
        raise UserError("speech: the sound holds samples that are not finite numbers")
    return wave[: round(frames * SAMPLE_RATE / FRAME_RATE)]


def relative_to_maximum(
    decibels: Float[np.ndarray, "steps 128"], floor_db: float = -np.inf
) -> Float[np.ndarray, "steps 128"]:
    """Decibels relative to their own maximum (or to `floor_db` if that is more), limited to [-80, 0]."""
    shifted = decibels - np.float32(max(decibels.max(), floor_db))
    return np.clip(shifted, np.float32(-RANGE_DB), np.float32(0), out=shifted)


def mel_decibels(
    wave: Float[np.ndarray, "samples"], steps: int, step_rate: float
) -> Float[np.ndarray, "steps 128"]:
    """Mel power in dB re 1, float32, at least -100; step m is centred at sample round(m * 16000 / step_rate).

    Outside the wave there are zeros. A wave of any length goes through one compiled function, in chunks.
    """
    starts = np.round(np.arange(steps) * (SAMPLE_RATE / step_rate)).astype(np.int64) - FFT_SIZE // 2
    starts = np.pad(starts, (0, -steps % CHUNK), mode="edge")  # all chunks are full
    span = round(CHUNK * SAMPLE_RATE / step_rate) + FFT_SIZE  # samples that a chunk may touch
    chunks = []
    for starts_of_chunk in starts.reshape(-1, CHUNK):
        first = int(starts_of_chunk[0])
        offsets = (starts_of_chunk - first).astype(np.int32)
        chunks.append(window_decibels(_span(wave, first, span), offsets))  # asynchronous
    return np.concatenate([np.asarray(chunk) for chunk in chunks])[:steps]


def _span(wave: Float[np.ndarray, "samples"], first: int, length: int) -> Float[np.ndarray, "span"]:
    """Samples [first, first + length), zeros where the wave has none."""
    samples = np.zeros(length, np.float32)
    known = wave[max(first, 0) : max(first + length, 0)]
    offset = max(-first, 0)
    samples[offset : offset + len(known)] = known
    return samples


@jax.jit
def window_decibels(samples: Float[Array, "span"], starts: Int[Array, "chunk"]) -> Float[Array, "chunk 128"]:
    """Mel power in dB of the windows of `samples` that begin at `starts`."""

    def windowed(start):
        return jax.lax.dynamic_slice(samples, (start,), (FFT_SIZE,)) * _hann_window()

    spectrum = jnp.fft.rfft(jax.vmap(windowed)(starts))
    power = spectrum.real**2 + spectrum.imag**2
    return 10 * jnp.log10(jnp.maximum(_filtered(power), POWER_MIN))


def _filtered(power: Float[Array, "chunk 513"]) -> Float[Array, "chunk 128"]:
    """Mel power, 32 bands at a time over the bins they touch: a quarter of the whole product."""
    bands = []
    for filters in np.split(mel_filters(), 4):
        touched = np.flatnonzero(filters.any(axis=0))
        bins = slice(touched[0], touched[-1] + 1)
        bands.append(jnp.matmul(power[:, bins], filters[:, bins].T, precision="highest"))
    return jnp.concatenate(bands, axis=1)


def _hann_window() -> Float[np.ndarray, "1024"]:
    """Periodic Hann window."""
    phase = 2 * np.pi * np.arange(FFT_SIZE) / FFT_SIZE
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


@functools.cache
def mel_filters() -> Float[np.ndarray, "128 513"]:
    """Triangular filters, equally spaced on Slaney's mel scale from 0 to 8000 Hz, each of unit area in Hz."""
    top_mel = _LINEAR_MELS + np.log(SAMPLE_RATE / 2 / _LINEAR_HZ) / _LOG_STEP
    edges_hz = _mel_to_hz(np.linspace(0.0, top_mel, MEL_BANDS + 2))[:, None]
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    bins_hz = np.arange(FFT_SIZE // 2 + 1) * (SAMPLE_RATE / FFT_SIZE)
    triangles = np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre))
    return (np.maximum(triangles, 0.0) * 2 / (high - low)).astype(np.float32)


def _mel_to_hz(mels: Float[np.ndarray, "edges"]) -> Float[np.ndarray, "edges"]:
    """Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz, then a constant ratio for each mel."""
    above = _LINEAR_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_MELS))
    return np.where(mels < _LINEAR_MELS, mels * (_LINEAR_HZ / _LINEAR_MELS), above)

"""What the simulator needs to know of a human recording: sound, pitch, words, where it is voiced and loud."""

import dataclasses
from fractions import Fraction

import numpy as np
import scipy.ndimage
import scipy.signal
from jaxtyping import Bool, Float

from lhg_jax.simulator.pitch import PITCH_RATE
from lhg_jax.simulator.speech import SAMPLE_RATE, SpokenPhrase, energy_steps
from lhg_jax.speech.words import Word
from lhg_jax.util.errors import MissingExtraError
from lhg_jax.util.home import require_home

_PITCH_HOP = SAMPLE_RATE // 50  # pYIN every 20 ms: cues last 110 ms and more
_RANGE_HZ = (60.0, 420.0)
_RESOLUTION = 0.2  # semitones; a third of the time that 0.1 takes
_NOISE_MARGIN_DB = 10.0  # speech is this far above the recording's quietest tenth ...
_LEAST_LEVEL_DB = -35.0  # ... and not this far below its loud parts
_JOINED_S = 0.2  # a shorter pause does not end a phrase
_LEAST_PHRASE_S = 0.3
_COMPLETE_PAUSE_S = 0.5  # a pause that ends a sentence where no sign says so
_SENTENCE_ENDS = (".", "?", "!", '."', '?"', '!"')


@dataclasses.dataclass(frozen=True)
class VoiceRecording:
    """One person's recording, ready to be cut into passages.

    Attributes:
      wave: 16 kHz mono, speech at an RMS of 0.05.
      f0: Hz at `PITCH_RATE`, 0 where unvoiced.
      speaking: at `PITCH_RATE`, true inside phrases.
      words: what is said, times in s.
      phrases: stretches between pauses, in order.
    """

    wave: Float[np.ndarray, "samples"]
    f0: Float[np.ndarray, "steps"]
    speaking: Bool[np.ndarray, "steps"]
    words: tuple[Word, ...]
    phrases: tuple[SpokenPhrase, ...]


def analyse(wave: Float[np.ndarray, "samples"], words: tuple[Word, ...]) -> VoiceRecording:
    """Finds phrases by loudness and pitch by pYIN (Mauch & Dixon 2014), a tenth of real time on a core.

    Args:
      wave: 16 kHz mono in [-1, 1].
      words: with times, or none.
    """
    speaking = find_speech(wave)
    level = np.sqrt((wave[: len(wave) // 160 * 160].reshape(-1, 160).astype(np.float64) ** 2).mean(1))
    loud = level[speaking[: len(level)]]
    gain = 0.05 / max(float(np.sqrt((loud**2).mean())) if len(loud) else 1.0, 1e-4)
    scaled = np.clip(wave * np.float32(gain), -1, 1)
    return VoiceRecording(
        scaled, human_pitch(wave, len(speaking)), speaking, words, phrases_of(speaking, words)
    )


def at_speed(recording: VoiceRecording, speed: float) -> VoiceRecording:
    """The recording played at `speed` times its own: another voice, higher where faster.

    What speech recognition does to hear more voices than it has (Ko et al. 2015, speed perturbation).
    """
    if speed == 1:
        return recording
    ratio = Fraction(speed).limit_denominator(100)
    wave = scipy.signal.resample_poly(recording.wave, ratio.denominator, ratio.numerator)
    steps = len(wave) * PITCH_RATE // SAMPLE_RATE
    rows = np.minimum((np.arange(steps) * speed).astype(int), len(recording.f0) - 1)
    return VoiceRecording(
        wave=np.clip(wave, -1, 1).astype(np.float32),
        f0=recording.f0[rows] * speed,
        speaking=recording.speaking[rows],
        words=tuple(
            dataclasses.replace(word, start_s=word.start_s / speed, end_s=word.end_s / speed)
            for word in recording.words
        ),
        phrases=tuple(
            dataclasses.replace(phrase, start_s=phrase.start_s / speed, end_s=phrase.end_s / speed)
            for phrase in recording.phrases
        ),
    )


def human_pitch(wave: Float[np.ndarray, "samples"], steps: int) -> Float[np.ndarray, "steps"]:
    """F0 in Hz at `PITCH_RATE` by librosa's pYIN, 0 where unvoiced; 0 throughout for under 0.1 s."""
    require_home()
    try:
        import librosa  # seconds, and numba: only where speech is recorded
    except ImportError:
        raise MissingExtraError("recorded speech (librosa)", "synthetic") from None
    if len(wave) < SAMPLE_RATE // 10:
        return np.zeros(steps)
    low, high = _RANGE_HZ
    f0, voiced, _ = librosa.pyin(
        wave,
        fmin=low,
        fmax=high,
        sr=SAMPLE_RATE,
        frame_length=1024,
        hop_length=_PITCH_HOP,
        resolution=_RESOLUTION,
    )
    rows = np.minimum(np.arange(steps) * (SAMPLE_RATE // PITCH_RATE) // _PITCH_HOP, len(f0) - 1)
    return np.where(voiced, np.nan_to_num(f0), 0.0)[rows]


def find_speech(wave: Float[np.ndarray, "samples"]) -> Bool[np.ndarray, "steps"]:
    """Where somebody speaks, at `PITCH_RATE`: well above the recording's own noise, short pauses closed."""
    steps = len(wave) * PITCH_RATE // SAMPLE_RATE
    if steps == 0:
        return np.zeros(0, bool)
    energy = scipy.ndimage.gaussian_filter1d(energy_steps(wave, steps), 2)
    floor = np.percentile(energy, 10) * 10 ** (_NOISE_MARGIN_DB / 20)
    loud = np.percentile(energy, 95)
    speaking = energy > min(max(floor, loud * 10 ** (_LEAST_LEVEL_DB / 20)), loud / 4)
    speaking = scipy.ndimage.binary_closing(np.pad(speaking, 50), np.ones(round(_JOINED_S * PITCH_RATE)))[
        50:-50
    ]
    return scipy.ndimage.binary_opening(speaking, np.ones(round(_LEAST_PHRASE_S / 3 * PITCH_RATE)))


def phrases_of(speaking: Bool[np.ndarray, "steps"], words: tuple[Word, ...]) -> tuple[SpokenPhrase, ...]:
    """Runs of speech; one is complete before a long pause, or where its last word ends a sentence."""
    edges = np.flatnonzero(np.diff(np.pad(speaking.astype(int), 1)))
    runs = [(float(a) / PITCH_RATE, float(b) / PITCH_RATE) for a, b in edges.reshape(-1, 2)]
    phrases = []
    for number, (start_s, end_s) in enumerate(runs):
        following = runs[number + 1][0] if number + 1 < len(runs) else np.inf
        last = [word.text for word in words if start_s <= word.start_s < end_s][-1:]
        ended = bool(last) and last[0].endswith(_SENTENCE_ENDS)
        if end_s - start_s >= _LEAST_PHRASE_S:
            phrases.append(
                SpokenPhrase(start_s, end_s, bool(ended or following - end_s >= _COMPLETE_PAUSE_S))
            )
    return tuple(phrases)

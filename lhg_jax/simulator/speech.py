"""Speech of a synthetic dyad: phrases, pauses, low-pitch endings, room noise, and the truth about them."""

import dataclasses
import math

import numpy as np
import scipy.signal
from jaxtyping import Bool, Float

from lhg_jax.simulator.grammar import NEGATIONS, Phrase, sentence, valences
from lhg_jax.simulator.pitch import PITCH_RATE, track_pitch
from lhg_jax.simulator.voice import Espeak, Span, Token, Utterance, VoiceSettings

SAMPLE_RATE = 16000

# The espeak-ng variants that PocketSphinx understands best (word error rates: docs/data.md).
FEMALE = ("f1", "f2", "f3", "f5")
MALE = ("m1", "m2", "m5", "m6", "adam")


@dataclasses.dataclass(frozen=True)
class SpeechParams:
    """How often things happen in the speech of a dyad.

    Attributes:
      clip_s: shortest and longest clip, s.
      silent: share of clips in which nobody speaks.
      late_start: share of clips that begin with seconds of silence.
      late_start_s: length of that silence, s.
      pause_s: pause after a complete sentence, s.
      short_pause_s: pause after a phrase that goes on, s.
      inviting: share of phrases that end in a low-pitch region (Ward & Tsukahara 2000): of those that go
        on, and of those that complete a sentence.
      low_pitch_percent: how the last words of such a phrase change the pitch setting (`voice.Token`).
      charged: share of sentences with sentiment.
      level_db: level of the speech, RMS dB re full scale.
      noise_db: level of the room noise, RMS dB re full scale.
    """

    clip_s: tuple[float, float] = (8.0, 20.0)
    silent: float = 0.05
    late_start: float = 0.2
    late_start_s: tuple[float, float] = (1.5, 4.0)
    pause_s: tuple[float, float] = (0.3, 1.0)
    short_pause_s: tuple[float, float] = (0.1, 0.3)
    inviting: tuple[float, float] = (0.3, 0.85)
    low_pitch_percent: tuple[int, int] = (-50, -35)
    charged: float = 0.6
    level_db: tuple[float, float] = (-30.0, -18.0)
    noise_db: tuple[float, float] = (-70.0, -45.0)


@dataclasses.dataclass(frozen=True)
class SpokenWord:
    """A word with its time (s), its sentiment after negation (-1, 0, 1) and whether it negates."""

    text: str
    start_s: float
    end_s: float
    valence: int
    negates: bool


@dataclasses.dataclass(frozen=True)
class SpokenPhrase:
    """Start and end of a phrase (s) and whether it completes a sentence."""

    start_s: float
    end_s: float
    complete: bool


@dataclasses.dataclass(frozen=True)
class Speech:
    """What was said, how it sounds, and the pitch of the clean voice.

    `wave` is 16 kHz mono with room noise; `f0` (Hz, 0 = unvoiced), `speaking` (inside a phrase) and `energy`
    (RMS of the clean voice, 1 = its loudest step) have `PITCH_RATE` steps/s. `voice` is None for a person's.
    """

    wave: Float[np.ndarray, "samples"]
    words: tuple[SpokenWord, ...]
    phrases: tuple[SpokenPhrase, ...]
    phonemes: tuple[Span, ...]
    f0: Float[np.ndarray, "steps"]
    speaking: Bool[np.ndarray, "steps"]
    energy: Float[np.ndarray, "steps"]
    voice: VoiceSettings | None

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds."""
        return len(self.wave) / SAMPLE_RATE


def random_voice(rng: np.random.Generator) -> VoiceSettings:
    """One of nine variants in a British or American accent, with its own speed, pitch and liveliness."""
    variants = FEMALE if rng.random() < 0.5 else MALE
    accent = rng.choice(("en-us", "en-us", "en-gb-x-rp"))
    return VoiceSettings(
        name=f"{accent}+{rng.choice(variants)}",
        rate=int(rng.integers(140, 181)),
        pitch=int(rng.integers(38, 63)),
        pitch_range=int(rng.integers(40, 71)),
    )


def say(rng: np.random.Generator, params: SpeechParams) -> Speech:
    """A clip of a random voice saying random sentences, or (`params.silent`) nothing at all."""
    duration_s = math.floor(rng.uniform(*params.clip_s) * 30) / 30
    voice = random_voice(rng)
    if rng.random() < params.silent:
        return assemble([], duration_s, voice, rng, params)
    time_s = rng.uniform(*params.late_start_s) if rng.random() < params.late_start else rng.uniform(0.1, 0.6)
    mood = int(rng.choice((-1, 1)))
    spoken: list[tuple[float, Phrase, Utterance]] = []
    with Espeak(seed=int(rng.integers(2**31))) as espeak:
        while True:
            mood = -mood if rng.random() < 0.3 else mood
            for phrase in sentence(rng, mood if rng.random() < params.charged else 0):
                utterance = speak_at_random(rng, espeak, phrase, voice, params)
                end_s = time_s + len(utterance.samples) / SAMPLE_RATE
                if end_s > duration_s - 0.3:
                    return assemble(spoken, duration_s, voice, rng, params)
                spoken.append((time_s, phrase, utterance))
                pause_s = params.pause_s if phrase.end == "." else params.short_pause_s
                time_s = end_s + rng.uniform(*pause_s)


def speak_at_random(
    rng: np.random.Generator, espeak: Espeak, phrase: Phrase, voice: VoiceSettings, params: SpeechParams
) -> Utterance:
    """A phrase at 16 kHz that ends in a low-pitch region or not, as `params.inviting` has it."""
    inviting = rng.random() < params.inviting[phrase.end == "."]
    low_words = int(rng.integers(1, 3)) if inviting else 0
    percent = int(rng.integers(*params.low_pitch_percent))
    return speak_phrase(espeak, phrase, voice, low_words, percent)


def speak_phrase(
    espeak: Espeak, phrase: Phrase, voice: VoiceSettings, low_words: int = 0, low_percent: int = 0
) -> Utterance:
    """A phrase at 16 kHz; the pitch of its last `low_words` words is moved by `low_percent` percent."""
    first_low = len(phrase.words) - low_words
    tokens = [Token(word, low_percent if i >= first_low else 0) for i, word in enumerate(phrase.words)]
    utterance = espeak.speak(tokens, phrase.end, voice)
    samples = scipy.signal.resample_poly(
        utterance.samples, SAMPLE_RATE, utterance.sample_rate, padtype="constant"
    )
    end = round((utterance.phonemes[-1].end_s + 0.02) * SAMPLE_RATE)  # without the silence after it
    return dataclasses.replace(utterance, samples=samples[:end].astype(np.float32), sample_rate=SAMPLE_RATE)


def assemble(
    spoken: list[tuple[float, Phrase, Utterance]],
    duration_s: float,
    voice: VoiceSettings,
    rng: np.random.Generator,
    params: SpeechParams,
) -> Speech:
    """Puts phrases at their start times (s), sets the level, tracks the pitch, and adds the room's noise."""
    clean = np.zeros(round(duration_s * SAMPLE_RATE), np.float32)
    steps = np.arange(round(duration_s * PITCH_RATE)) / PITCH_RATE
    speaking = np.zeros(len(steps), bool)
    words, phrases, phonemes = [], [], []
    for start_s, phrase, utterance in spoken:
        first = round(start_s * SAMPLE_RATE)
        clean[first : first + len(utterance.samples)] += utterance.samples
        phrases.append(SpokenPhrase(start_s, start_s + utterance.words[-1].end_s, phrase.end == "."))
        speaking |= (steps >= phrases[-1].start_s) & (steps <= phrases[-1].end_s)
        for span, valence in zip(utterance.words, valences(phrase.words), strict=True):
            negates = span.text in NEGATIONS
            words.append(
                SpokenWord(span.text, start_s + span.start_s, start_s + span.end_s, valence, negates)
            )
        phonemes += [Span(p.text, start_s + p.start_s, start_s + p.end_s) for p in utterance.phonemes]
    energy = energy_steps(clean, len(steps))
    f0 = track_pitch(clean, SAMPLE_RATE)[: len(steps)]
    wave = set_level(clean, rng.uniform(*params.level_db)) + room_noise(rng, len(clean), params.noise_db)
    return Speech(
        wave=np.clip(wave, -1, 1).astype(np.float32),
        words=tuple(words),
        phrases=tuple(phrases),
        phonemes=tuple(phonemes),
        f0=f0,
        speaking=speaking,
        energy=energy,
        voice=voice,
    )


def energy_steps(clean: np.ndarray, steps: int) -> np.ndarray:
    """RMS of each 10 ms step, relative to the loudest."""
    hop = SAMPLE_RATE // PITCH_RATE
    blocks = np.pad(clean, (0, max(0, steps * hop - len(clean))))[: steps * hop].reshape(steps, hop)
    rms = np.sqrt((blocks.astype(np.float64) ** 2).mean(axis=1))
    return rms / max(rms.max(), 1e-9)


def set_level(clean: np.ndarray, level_db: float) -> np.ndarray:
    """Scales speech to an RMS level over its non-silent samples, peaks kept below full scale."""
    loud = clean[np.abs(clean) > 1e-4]
    if not len(loud):
        return clean
    gain = 10 ** (level_db / 20) / np.sqrt((loud.astype(np.float64) ** 2).mean())
    return clean * min(gain, 0.98 / np.abs(clean).max())


def room_noise(
    rng: np.random.Generator, samples: int, noise_db: tuple[float, float]
) -> Float[np.ndarray, "samples"]:
    """Low-passed white noise (a quiet room), its RMS within `noise_db` (dB re full scale)."""
    noise = scipy.signal.lfilter([0.1], [1, -0.9], rng.standard_normal(samples))
    return noise / noise.std() * 10 ** (rng.uniform(*noise_db) / 20)

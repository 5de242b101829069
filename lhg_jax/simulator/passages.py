"""Passages of one person's recorded speech: cut at pauses, joined with pauses, in a room of their own."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from lhg_jax.simulator.human_voice import VoiceRecording
from lhg_jax.simulator.pitch import PITCH_RATE
from lhg_jax.simulator.sentiment import negates, valences
from lhg_jax.simulator.speech import (
    SAMPLE_RATE,
    Speech,
    SpeechParams,
    SpokenPhrase,
    SpokenWord,
    energy_steps,
    room_noise,
)
from lhg_jax.simulator.voice import Span

SPEECH_RMS = 0.05  # of `VoiceRecording.wave`
_PAUSE_S = (0.4, 1.2)  # between recordings
_MARGIN_S = 0.05  # kept around phrases: soft consonants lie outside
_FADE_S = 0.01
_LEAST_PIECE_S = 1.5
_ENDING_S = 0.3  # the clip goes on this long after the last word, so that an answer can begin


@dataclasses.dataclass(frozen=True)
class Piece:
    """Seconds `start_s` to `end_s` of a recording, placed at `at_s` of the passage."""

    recording: VoiceRecording
    start_s: float
    end_s: float
    at_s: float


def passage(recordings: Sequence[VoiceRecording], rng: np.random.Generator, params: SpeechParams) -> Speech:
    """A clip of one person's recordings, from a random phrase on; nothing is heard twice.

    Args:
      recordings: of one person, in an order in which they may follow one another.
      rng: chooses length, place, pauses, level and noise.
      params: `clip_s`, `late_start`, `late_start_s`, `level_db` and `noise_db` are used.
    """
    duration_s = math.floor(rng.uniform(*params.clip_s) * 30) / 30
    late = rng.random() < params.late_start
    start_s = rng.uniform(*params.late_start_s) if late else rng.uniform(0.1, 0.6)
    pieces = list(_choose(recordings, rng, float(start_s), duration_s - _ENDING_S))
    clean = np.zeros(round(duration_s * SAMPLE_RATE), np.float32)
    steps = len(clean) * PITCH_RATE // SAMPLE_RATE
    f0, speaking = np.zeros(steps), np.zeros(steps, bool)
    for piece in pieces:
        _put(clean, _faded(_cut(piece.recording.wave, piece, SAMPLE_RATE)), piece, SAMPLE_RATE)
        _put(f0, _cut(piece.recording.f0, piece, PITCH_RATE), piece, PITCH_RATE)
        _put(speaking, _cut(piece.recording.speaking, piece, PITCH_RATE), piece, PITCH_RATE)
    words = tuple(word for piece in pieces for word in _words(piece))
    level = 10 ** (rng.uniform(*params.level_db) / 20) / SPEECH_RMS
    gain = min(level, 0.98 / max(float(np.abs(clean).max()), 1e-4))
    wave = clean * gain + room_noise(rng, len(clean), params.noise_db)
    return Speech(
        wave=np.clip(wave, -1, 1).astype(np.float32),
        words=words,
        phrases=tuple(phrase for piece in pieces for phrase in _phrases(piece)),
        phonemes=tuple(span for word in words for span in spelled_sounds(word)),
        f0=f0,
        speaking=speaking,
        energy=energy_steps(clean, steps),
        voice=None,
    )


def _choose(
    recordings: Sequence[VoiceRecording], rng: np.random.Generator, at_s: float, end_s: float
) -> Iterator[Piece]:
    """Pieces that fill the time from `at_s` to `end_s`, from a random phrase of a random recording on."""
    spoken = [recording for recording in recordings if recording.phrases]
    if not spoken:
        return
    first = int(rng.integers(len(spoken)))
    ordered = [*spoken[first:], *spoken[:first]]
    room_s = end_s - at_s
    number = _random_start(ordered[0], room_s, rng)
    for recording in ordered:
        phrases = recording.phrases[number:]
        start_s = max(phrases[0].start_s - _MARGIN_S, 0.0)
        whole = [p.end_s + _MARGIN_S for p in phrases if p.end_s + _MARGIN_S - start_s <= end_s - at_s]
        stop_s = whole[-1] if whole else start_s + end_s - at_s  # a very long phrase is cut off
        yield Piece(recording, start_s, stop_s, at_s)
        at_s += stop_s - start_s + rng.uniform(*_PAUSE_S)
        number = 0
        if end_s - at_s < _LEAST_PIECE_S:
            return


def _random_start(recording: VoiceRecording, room_s: float, rng: np.random.Generator) -> int:
    """A phrase after which enough is left to fill the room, if there is one; else the first."""
    last_s = recording.phrases[-1].end_s
    enough = [n for n, phrase in enumerate(recording.phrases) if last_s - phrase.start_s >= room_s]
    return int(rng.choice(enough)) if enough else 0


def _cut(values: np.ndarray, piece: Piece, rate: int) -> np.ndarray:
    return values[round(piece.start_s * rate) : round(piece.end_s * rate)]


def _put(target: np.ndarray, values: np.ndarray, piece: Piece, rate: int) -> None:
    """Writes into the passage at the piece's place."""
    first = round(piece.at_s * rate)
    room = min(len(values), len(target) - first)
    target[first : first + room] = values[:room]


def _faded(wave: Float[np.ndarray, "samples"]) -> Float[np.ndarray, "samples"]:
    """With a soft start and end, for recordings have noise of their own."""
    count = min(round(_FADE_S * SAMPLE_RATE), len(wave) // 2)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    faded = wave.copy()
    faded[:count] *= ramp
    faded[len(faded) - count :] *= ramp[::-1]
    return faded


def _words(piece: Piece) -> Iterator[SpokenWord]:
    """The words that are wholly inside; sentiment is that of the whole recording's text."""
    words = piece.recording.words
    shift_s = piece.at_s - piece.start_s
    for word, valence in zip(words, valences(word.text for word in words), strict=True):
        if piece.start_s <= word.start_s and word.end_s <= piece.end_s + 0.1:
            yield SpokenWord(
                word.text, word.start_s + shift_s, word.end_s + shift_s, valence, negates(word.text)
            )


def _phrases(piece: Piece) -> Iterator[SpokenPhrase]:
    shift_s = piece.at_s - piece.start_s
    for phrase in piece.recording.phrases:
        start_s, end_s = max(phrase.start_s, piece.start_s), min(phrase.end_s, piece.end_s)
        if end_s > start_s:
            yield SpokenPhrase(start_s + shift_s, end_s + shift_s, phrase.complete)


def spelled_sounds(word: SpokenWord) -> Iterator[Span]:
    """A rough guess at a word's sounds: its letters in equal parts of its time, for lips and jaw."""
    letters = [letter for letter in word.text.lower() if letter.isalpha()]
    length_s = (word.end_s - word.start_s) / max(len(letters), 1)
    for number, letter in enumerate(letters):
        start_s = word.start_s + number * length_s
        yield Span(letter, start_s, start_s + length_s)

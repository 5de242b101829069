"""What a live listener hears: the features of `extract`, none of which knows what comes after it (DESIGN 12).

Three things in the offline features look into the future: the log-mel is relative to the loudest step of the
whole clip, the differences of the MFCC reach four frames ahead, and a word's vector is read in a context that
has not been spoken yet. Here the log-mel is relative to a running loudness, the differences are those of the
0.3 s that end with the frame, and a word is known once it has been spoken, from the words before it.

A clip and a live stream go through the same function, `hear`: a clip is a stream in one piece.
"""

import dataclasses
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import FeatureSpec
from lhg_jax.features import mel_steps
from lhg_jax.motion import FRAME_RATE
from lhg_jax.speech.extract import SpeechFeatures
from lhg_jax.speech.log_mel import RANGE_DB, STEP_RATE, cut_wave, mel_decibels
from lhg_jax.speech.mfcc import COEFFICIENTS, HALF_WIDTH, differences, static_mfcc
from lhg_jax.speech.words import Word, frame_words

# The running loudness never falls below what speech of -50 dBFS has (RMS level + 45 dB, see
# `log_mel.REFERENCE_FLOOR_DB`): the noise of a quiet room is not lifted to the level of a voice.
LOUDNESS_FLOOR_DB = -5.0
RELEASE_S = 10.0  # in which the running loudness falls by a factor of e in amplitude, 8.7 dB
RELEASE_DB_PER_STEP = 20 / np.log(10) / (RELEASE_S * STEP_RATE)
PAST_ROWS = 2 * HALF_WIDTH  # rows of MFCC before a frame that its differences see


def causal_spec(spec: FeatureSpec) -> FeatureSpec:
    """What the features mean that this file makes, where those of `extract` mean `spec`."""
    return dataclasses.replace(spec, log_mel="running_loudness/1", mfcc="past/1", causal=True)


class HearingState(NamedTuple):
    """What was heard so far, as far as it matters for what follows.

    Attributes:
      loudness_db: running loudness after the last step, mel dB re 1.
      steps: log-mel steps so far.
      past: the last `PAST_ROWS` rows of static MFCC; None before the first.
    """

    loudness_db: float = LOUDNESS_FLOOR_DB
    steps: int = 0
    past: Float[np.ndarray, "8 13"] | None = None


def hear(
    state: HearingState, decibels: Float[np.ndarray, "steps 128"]
) -> tuple[HearingState, Float[np.ndarray, "steps 128"], Float[np.ndarray, "rows 39"]]:
    """Takes in the next steps of a stream, at least none.

    Args:
      state: what the last call returned; `HearingState()` at the start.
      decibels: mel power in dB re 1 (`log_mel.mel_decibels`) of the steps that follow.

    Returns:
      The new state; the steps relative to the running loudness, in [-80, 0] dB; and a row of MFCC with
      differences for each odd step among them: step 2t + 1 is the middle of frame t.
    """
    loudness = running_loudness(decibels.max(axis=1, initial=-np.inf), state.loudness_db)
    relative = np.clip(decibels - loudness[:, None], -RANGE_DB, 0).astype(np.float32)
    static = static_mfcc(relative[(state.steps + 1) % 2 :: 2])
    past = state.past
    if past is None and len(static):
        past = static[:1].repeat(PAST_ROWS, axis=0)  # the first row has gone on for ever
    rows = np.concatenate([np.zeros((0, COEFFICIENTS), np.float32) if past is None else past, static])
    mfcc = np.concatenate([static, *(differences(rows, order) for order in (1, 2))], axis=1)
    last = float(loudness[-1]) if len(loudness) else state.loudness_db
    kept = rows[-PAST_ROWS:] if len(rows) else None
    return HearingState(last, state.steps + len(decibels), kept), relative, mfcc


def running_loudness(levels_db: Float[np.ndarray, "steps"], start_db: float) -> Float[np.ndarray, "steps"]:
    """The loudest level so far; what lies back counts for less by 8.7 dB in 10 s. At least the floor.

    r_m = max(level_m, r_{m-1} - release, floor), as a running maximum over levels that rise with time.
    """
    rise = RELEASE_DB_PER_STEP * np.arange(1, len(levels_db) + 1)
    loudest = np.maximum.accumulate(np.maximum(levels_db, LOUDNESS_FLOOR_DB) + rise)
    return np.maximum(loudest, start_db) - rise if len(levels_db) else np.zeros(0)


@runtime_checkable
class PrefixEncoder(Protocol):
    """What `extract_causal_speech` asks of a text encoder; `bert.BertEncoder` is one."""

    def prefix_vectors(self, words: list[str]) -> Float[np.ndarray, "rows hidden"]:
        """[W + 1, D] vectors of words, each read with the words before it only; row 0 is zeros."""
        ...


def extract_causal_speech(
    wave: Float[np.ndarray, "samples"], frames: int, words: list[Word], encoder: PrefixEncoder
) -> SpeechFeatures:
    """Features of a clip of `frames` motion frames (30 frames/s), none of which hears the future.

    Log-mel step m hears the sound up to 32 ms after its centre at m/60 s: half of the window.

    Args:
      wave: 16 kHz mono in [-1, 1], cut or filled up with zeros to the length of the clip.
      frames: T, at least 1.
      words: of a transcript; [] for what a live listener hears. (A recogniser has itself heard the whole
        utterance before it says a word, so its words are none that were known in time.)
      encoder: e.g. `BertEncoder.load()`.

    Raises:
      UserError: no samples, no frames, or samples that are not finite.
    """
    decibels = mel_decibels(cut_wave(wave, frames), mel_steps(frames), STEP_RATE)
    _, log_mel, mfcc = hear(HearingState(), decibels)
    spoken = [word for word in words if word.end_s * FRAME_RATE <= frames]
    return SpeechFeatures(
        log_mel=log_mel,
        mfcc=mfcc[:frames],
        word_table=encoder.prefix_vectors([word.text for word in spoken]),
        word_index=frame_words(as_recognised(spoken), frames),
    )


def as_recognised(words: list[Word]) -> list[Word]:
    """Words at the time at which they are known: from their end, for as long as they were spoken."""
    return [
        dataclasses.replace(word, start_s=word.end_s, end_s=2 * word.end_s - word.start_s) for word in words
    ]

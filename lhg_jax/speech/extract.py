"""Everything that the model hears of one clip."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from lhg_jax.speech.log_mel import log_mel
from lhg_jax.speech.mfcc import mfcc_of_log_mel
from lhg_jax.speech.sphinx import recognise
from lhg_jax.speech.words import Word, frame_words


@runtime_checkable
class WordEncoder(Protocol):
    """What `extract_speech` asks of a text encoder; `bert.BertEncoder` is one."""

    def word_vectors(self, words: list[str]) -> Float[np.ndarray, "rows hidden"]:
        """[W + 1, D] vectors of a transcript's words; row 0 is zeros."""
        ...


@dataclasses.dataclass(frozen=True)
class SpeechFeatures:
    """The sound and the words of a clip of T frames: fields of `features.SpeakerFeatures`."""

    log_mel: Float[np.ndarray, "steps 128"]
    mfcc: Float[np.ndarray, "frames 39"]
    word_table: Float[np.ndarray, "rows hidden"]
    word_index: Int[np.ndarray, "frames"]


def extract_speech(
    wave: Float[np.ndarray, "samples"], frames: int, words: list[Word] | None, encoder: WordEncoder
) -> SpeechFeatures:
    """Features of a clip of `frames` motion frames (30 frames/s).

    Args:
      wave: 16 kHz mono in [-1, 1], cut or filled up with zeros to the length of the clip.
      frames: T, at least 1.
      words: of `words.read_transcript`; [] where nothing is said; None recognises them (`sphinx.recognise`).
        All of them are read by the encoder, for context, also those after the end of the clip.
      encoder: e.g. `BertEncoder.load()`.

    Returns:
      log_mel [M, 128] dB, mfcc [T, 39], word_table [W + 1, D] (row 0 zeros), word_index [T] int32.

    Raises:
      UserError: no samples, no frames, or samples that are not finite.
    """
    mel = log_mel(wave, frames)
    if words is None:
        words = recognise(wave)
    return SpeechFeatures(
        log_mel=mel,
        mfcc=mfcc_of_log_mel(mel, frames),
        word_table=encoder.word_vectors([word.text for word in words]),
        word_index=frame_words(words, frames),
    )

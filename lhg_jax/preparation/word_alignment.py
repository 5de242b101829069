"""Times of known words in a recording: forced alignment by PocketSphinx."""

import re
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.speech.log_mel import SAMPLE_RATE
from lhg_jax.speech.words import Word
from lhg_jax.util.errors import MissingExtraError

FRAME_S = 0.01  # of PocketSphinx

# How a word that is not in the dictionary may sound: letters to ARPAbet. Only its length counts.
_PAIRS = {"sh": "SH", "ch": "CH", "th": "TH", "ng": "NG", "ph": "F", "ee": "IY", "oo": "UW", "ou": "AW"}
_SOUNDS = {
    **_PAIRS,
    "a": "AE",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "i": "IH",
    "j": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "AA",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "AH",
    "v": "V",
    "w": "W",
    "x": "K",
    "y": "IY",
    "z": "Z",
}


def align(wave: Float[np.ndarray, "samples"], text: str) -> list[Word]:
    """Times of the words of a text that is what a recording says; an empty list where it does not fit.

    Args:
      wave: 16 kHz mono in [-1, 1].
      text: English; signs at either end of a word are kept in the result and not spoken.

    Raises:
      MissingExtraError: PocketSphinx is not installed.
    """
    try:
        import pocketsphinx
    except ImportError:
        raise MissingExtraError("word times (PocketSphinx)", "pipeline") from None
    texts = [(word, _spoken(word)) for word in text.split() if _spoken(word)]
    if not texts:
        return []
    decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", lm=None)
    for spoken in {spoken for _, spoken in texts}:
        if decoder.lookup_word(spoken) is None:
            decoder.add_word(spoken, _pronunciation(spoken), True)
    try:
        decoder.set_align_text(" ".join(spoken for _, spoken in texts))
        segments = _segments(decoder, wave)
    except RuntimeError:  # a word that has no phones at all
        return []
    if len(segments) != len(texts):
        return []
    return [Word(word, start_s, end_s) for (word, _), (start_s, end_s) in zip(texts, segments, strict=True)]


def _segments(decoder: Any, wave: np.ndarray) -> list[tuple[float, float]]:
    """Start and end (s) of each word that was found."""
    gain = 0.5 / max(np.abs(wave).max(), 1e-4)
    decoder.start_utt()
    decoder.process_raw((wave * gain * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    return [
        (segment.start_frame * FRAME_S, (segment.end_frame + 1) * FRAME_S)
        for segment in decoder.seg()
        if segment.word[0] not in "<[+("  # <sil>, [NOISE], ++BREATH++, (NULL)
    ]


def _spoken(word: str) -> str:
    """Letters and apostrophes of a word, lower case."""
    return re.sub(r"[^a-z']", "", word.lower()).strip("'")


def _pronunciation(word: str) -> str:
    letters = "|".join(sorted(_SOUNDS, key=len, reverse=True))
    return " ".join(_SOUNDS[match] for match in re.findall(letters, word))

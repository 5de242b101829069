"""Does a word find its sound? Retrieval of audio by text, what the contrastive loss (Eq. 2) is for.

An item is a word of a held-out clip: its text feature f_t and one level of its audio, each averaged over the
word's frames. Each text is asked for its own audio among `candidates`: its own, and words of other clips with
another text, drawn by a seed. Of equal similarities the wrong one counts as better, so features that say
nothing find nothing, rather than everything. What a guess finds stands beside it (`chance_1`, `chance_5`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lhg_jax.contract import ListenerOutput, SpeakerFeatures

CANDIDATES = 50
LEAST_FRAMES = 3  # of a word, or of the part of it that lies in a window


class WordItems(NamedTuple):
    """Words of some clips; N items.

    Attributes:
      text: [N, D] text features.
      audio: [N, D] audio features of the same words.
      clip: [N] which clip a word is of.
      word: [N] what is said: items with the same number are the same word.
    """

    text: Float[np.ndarray, "items size"]
    audio: Float[np.ndarray, "items size"]
    clip: Int[np.ndarray, "items"]
    word: Int[np.ndarray, "items"]


def retrieval(items: WordItems, candidates: int = CANDIDATES, seed: int = 0) -> dict[str, float]:
    """`top_1` and `top_5`: share of words whose own audio is the most similar, or among the five most so.

    Beside them `chance_1`, `chance_5`, the number of `items` that count and of `candidates`. Words that have
    fewer than `candidates - 1` others to choose from do not count; NaN where none does.
    """
    rng = np.random.default_rng(seed)
    text, audio = unit_rows(items.text), unit_rows(items.audio)
    ranks = []
    for number in range(len(text)):
        others = np.flatnonzero(strangers(items, number))
        if len(others) < candidates - 1:
            continue
        drawn = rng.choice(others, candidates - 1, replace=False)
        ranks.append(int((audio[drawn] @ text[number] >= audio[number] @ text[number]).sum()))
    found = np.array(ranks)
    return {
        "top_1": float((found < 1).mean()) if len(found) else float("nan"),
        "top_5": float((found < 5).mean()) if len(found) else float("nan"),
        "chance_1": 1 / candidates,
        "chance_5": min(5 / candidates, 1.0),
        "items": float(len(found)),
        "candidates": float(candidates),
    }


def strangers(items: WordItems, number: int) -> Bool[np.ndarray, "items"]:
    """Words of other clips that are other words than this one."""
    return (items.clip != items.clip[number]) & (items.word != items.word[number])


def unit_rows(x: Float[np.ndarray, "items size"]) -> Float[np.ndarray, "items size"]:
    """Scaled to length 1; zeros stay."""
    x = x.astype(np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def word_features(
    output: ListenerOutput, window: SpeakerFeatures, level: int = 2
) -> tuple[Float[np.ndarray, "items size"], Float[np.ndarray, "items size"], Int[np.ndarray, "items"]]:
    """Text, audio and row of the word table of each word in one window (no batch axis).

    Args:
      output: of the model, with a batch of this one window.
      window: what the model was given.
      level: of the audio; 2, the high one, is the positive of Eq. 2.
    """
    index = np.where(np.asarray(window.in_clip), np.asarray(window.word_index), 0)
    text, audio = (np.asarray(x[0], np.float32) for x in (output.text, output.levels[level]))
    rows = [row for row in np.unique(index[index > 0]) if (index == row).sum() >= LEAST_FRAMES]
    means = [[x[index == row].mean(axis=0) for row in rows] for x in (text, audio)]
    size = text.shape[-1]
    first, second = (np.asarray(x, np.float32).reshape(-1, size) for x in means)
    return first, second, np.asarray(rows, np.int64)


def numbered(texts: Sequence[str]) -> Int[np.ndarray, "items"]:
    """The same number for the same word, whatever its case and the signs around it."""
    plain = ["".join(c for c in text.lower() if c.isalnum() or c == "'") for text in texts]
    return np.unique(np.array(plain, dtype=str), return_inverse=True)[1].astype(np.int64)

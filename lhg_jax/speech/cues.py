"""A stretch of a transcript: some words and when they are said."""

import dataclasses
import html
import math
import re
import unicodedata

# Kana and Han characters, as in the blocks of Unicode's names.
_UNSPACED = re.compile(
    "[\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)


class TranscriptError(Exception):
    """What is wrong in a transcript; `words.read_transcript` puts the path before it."""


@dataclasses.dataclass(frozen=True)
class Word:
    """A spoken word and its time, start_s <= end_s, in seconds from the start of the clip."""

    text: str
    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Cue:
    """One or more words, start_s <= end_s, in seconds from the start of the clip."""

    text: str
    start_s: float
    end_s: float

    @classmethod
    def checked(cls, text: str, start_s: float, end_s: float, where: str) -> "Cue":
        """Raises `TranscriptError` for times that cannot be."""
        if not 0 <= start_s <= end_s < math.inf:
            raise TranscriptError(f"{where}: times {start_s:g} to {end_s:g} s (want 0 <= start <= end)")
        return cls(text, start_s, end_s)

    def words(self) -> list[Word]:
        """Its words; each takes a part of the time in proportion to its letters and digits.

        `&amp;` and the like become what they mean, in files of all kinds; twice, because YouTube
        writes `&amp;#39;`. Words are in Unicode's form NFKC: one way to write a letter, whatever the file
        had. Chinese and Japanese have no spaces; there every character is a word, as recognisers and BERT
        have it, too.
        """
        plain = unicodedata.normalize("NFKC", html.unescape(html.unescape(self.text)))
        texts = [text for text in _UNSPACED.sub(r" \g<0> ", plain).split() if letters(text)]
        total, time_s, done = sum(map(letters, texts)), self.end_s - self.start_s, 0
        found = []
        for text in texts:
            start, done = done, done + letters(text)
            found.append(
                Word(text, self.start_s + time_s * start / total, self.start_s + time_s * done / total)
            )
        return found


def letters(text: str) -> int:
    """How many letters and digits a text has."""
    return sum(letter.isalnum() for letter in text)

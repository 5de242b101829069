"""Words of a Praat TextGrid, in the long or the short form of the text file."""

import math
import re

from lhg_jax.speech.cues import Cue, TranscriptError

# A Praat text file is a row of strings, numbers and flags; names and indices around them are decoration.
_VALUE = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)')
_PAUSES = ("sil", "sp", "spn", "<eps>")  # labels of aligners for what is no word


class _Values:
    """The values of a Praat text file, taken one by one."""

    def __init__(self, text: str):
        self.text = text
        self.matches = _VALUE.finditer(text)

    def string(self, what: str) -> str:
        return self._take(1, what).replace('""', '"')

    def number(self, what: str) -> float:
        value = float(self._take(2, what))
        if not math.isfinite(value):
            raise TranscriptError(f"{what} is not finite")
        return value

    def _take(self, group: int, what: str) -> str:
        match = next(self.matches, None)
        if match is None:
            raise TranscriptError(f"the TextGrid ends where {what} should be")
        if match[group] is None:
            line = self.text.count("\n", 0, match.start()) + 1
            shown = " ".join(match[0].split())[:40]
            raise TranscriptError(f"line {line}: want {what}, not {shown}")
        return match[group]


def parse_textgrid(text: str) -> list[Cue]:
    """Praat TextGrid; the long and the short form hold the same values in the same order."""
    values = _Values(text)
    if (values.string("the file type"), values.string("the object class")) != ("ooTextFile", "TextGrid"):
        raise TranscriptError("line 1: not a TextGrid text file of Praat")
    values.number("a start"), values.number("an end")
    all_tiers = [_take_tier(values) for _ in range(int(values.number("the number of tiers")))]
    tiers = [tier for tier in all_tiers if tier is not None]
    if not tiers:
        raise TranscriptError("no interval tier in the TextGrid")
    return next((cues for name, cues in tiers if "word" in name.lower()), tiers[0][1])


def _take_tier(values: _Values) -> tuple[str, list[Cue]] | None:
    """Name and intervals of the next tier; None for a tier of points."""
    is_interval = values.string("a tier class") == "IntervalTier"
    name, cues = values.string("a tier name"), []
    values.number("a start"), values.number("an end")
    for index in range(int(values.number("the number of intervals"))):
        start_s = values.number("a time")
        end_s = values.number("a time") if is_interval else start_s
        label = values.string("a label")
        if label.strip().lower() not in _PAUSES:
            cues.append(Cue.checked(label, start_s, end_s, f"tier {name!r}, interval {index + 1}"))
    return (name, cues) if is_interval else None

"""Words with times: from a transcript file (.srt .vtt .json .TextGrid), and onto motion frames."""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from lhg_jax.motion import FRAME_RATE
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Word:
    """A spoken word and its time, start_s <= end_s, in seconds from the start of the clip."""

    text: str
    start_s: float
    end_s: float


def frame_words(words: list[Word], frames: int) -> Int[np.ndarray, "frames"]:
    """Which word is spoken in each frame: int32, 0 = none, i + 1 = `words[i]`.

    A frame belongs to the word that covers its centre (t + 1/2)/30 s; where words overlap, to the one that
    starts last.
    """
    centres = (np.arange(frames) + 0.5) / FRAME_RATE
    word_of_frame = np.zeros(frames, np.int32)
    for index, word in sorted(enumerate(words), key=lambda item: item[1].start_s):
        word_of_frame[(word.start_s <= centres) & (centres < word.end_s)] = index + 1
    return word_of_frame


def to_json(words: list[Word]) -> str:
    """Words as the .json that `read_transcript` reads; times to the millisecond."""
    rows = [{"word": w.text, "start": round(w.start_s, 3), "end": round(w.end_s, 3)} for w in words]
    return json.dumps(rows, ensure_ascii=False)


class _SyntaxError(Exception):
    """What is wrong in a transcript; `read_transcript` puts the path before it."""


def read_transcript(path: str | os.PathLike) -> list[Word]:
    """Words of a transcript, in order of their start; UTF-8, with or without a byte order mark.

    .srt, .vtt: cues. .TextGrid (Praat, long or short): the intervals of the first interval tier named like
    "word", else of the first interval tier. .json: a list of {"word" or "text", "start", "end"}, or Whisper's
    {"segments": [{"words": [...]} or {"text", "start", "end"}]}; times in seconds.
    A cue of several words is shared out between them in proportion to their letters.

    Raises:
      UserError: unknown suffix, unreadable file, wrong syntax (with the line), negative or reversed times.
    """
    path = Path(path)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise UserError(f"{path}: unknown kind of transcript (known: {', '.join(_PARSERS)})")
    try:
        text = _decode(path.read_bytes())
        words = [word for cue in parse(text) for word in _split_cue(cue)]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except _SyntaxError as error:
        raise UserError(f"{path}: {error}") from None
    return sorted(words, key=lambda word: word.start_s)


def _decode(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"  # Praat may write UTF-16
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _SyntaxError(f"not UTF-8 text (byte {error.start})") from None


def _cue(text: str, start_s: float, end_s: float, where: str) -> Word:
    """A stretch of text with checked times."""
    if not (0 <= start_s <= end_s < np.inf):
        raise _SyntaxError(f"{where}: times {start_s:g} to {end_s:g} s (want 0 <= start <= end)")
    return Word(text, start_s, end_s)


def _split_cue(cue: Word) -> list[Word]:
    """The words of a cue; each takes a part of its time in proportion to its letters and digits."""
    texts = [text for text in cue.text.split() if _letters(text)]
    ends = np.cumsum([0] + [_letters(text) for text in texts])
    times = cue.start_s + (cue.end_s - cue.start_s) * ends / max(ends[-1], 1)
    return [Word(text, float(times[i]), float(times[i + 1])) for i, text in enumerate(texts)]


def _letters(text: str) -> int:
    return sum(letter.isalnum() for letter in text)


_TIME = r"(?:(\d+):)?(\d\d?):(\d\d?)[,.](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")  # <i>, <v Speaker>, <00:01.000>, {\an8}


def _parse_cues(text: str) -> Iterator[Word]:
    """SubRip and WebVTT: a line `start --> end`, then text up to an empty line."""
    lines = text.splitlines()
    timings = [number for number, line in enumerate(lines) if "-->" in line]
    if not timings and any(line.strip() for line in lines if not line.startswith("WEBVTT")):
        raise _SyntaxError("line 1: no cue (a line `00:00:01,000 --> 00:00:02,500`) in the file")
    for number in timings:
        match = _TIMING.match(lines[number])
        if match is None:
            raise _SyntaxError(f"line {number + 1}: not a timing (want 00:00:01,000 --> 00:00:02,500)")
        body = []
        for line in lines[number + 1 :]:
            if not line.strip():
                break
            body.append(_TAG.sub("", line))
        start_s, end_s = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
        yield _cue(" ".join(body), start_s, end_s, f"line {number + 1}")


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}")


def _parse_json(text: str) -> Iterator[Word]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _SyntaxError(f"line {error.lineno}: not JSON ({error.msg})") from None
    if isinstance(content, dict):
        content = content.get("segments", content.get("words"))
    if not isinstance(content, list):
        raise _SyntaxError('want a list of words or {"segments": [...]}')
    for index, entry in enumerate(content):
        where = f"entry {index + 1}"
        words = entry.get("words") if isinstance(entry, dict) else None
        for item in words if isinstance(words, list) and words else [entry]:
            yield _json_cue(item, where)


def _json_cue(item: Any, where: str) -> Word:
    try:
        text = item.get("word") or item.get("text") or ""
        return _cue(str(text), float(item["start"]), float(item["end"]), where)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _SyntaxError(f'{where}: want {{"word": "...", "start": 0.1, "end": 0.4}}') from None


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
        return float(self._take(2, what))

    def _take(self, group: int, what: str) -> str:
        match = next(self.matches, None)
        if match is None:
            raise _SyntaxError(f"the TextGrid ends where {what} should be")
        if match[group] is None:
            line = self.text.count("\n", 0, match.start()) + 1
            raise _SyntaxError(f"line {line}: want {what}, not {match[0]}")
        return match[group]


def _parse_textgrid(text: str) -> list[Word]:
    """Praat TextGrid; the long and the short form hold the same values in the same order."""
    values = _Values(text)
    if (values.string("the file type"), values.string("the object class")) != ("ooTextFile", "TextGrid"):
        raise _SyntaxError("line 1: not a TextGrid text file of Praat")
    values.number("a start"), values.number("an end")
    all_tiers = [_take_tier(values) for _ in range(int(values.number("the number of tiers")))]
    tiers = [tier for tier in all_tiers if tier is not None]
    if not tiers:
        raise _SyntaxError("no interval tier in the TextGrid")
    return next((cues for name, cues in tiers if "word" in name.lower()), tiers[0][1])


def _take_tier(values: _Values) -> tuple[str, list[Word]] | None:
    """Name and intervals of the next tier; None for a tier of points."""
    is_interval = values.string("a tier class") == "IntervalTier"
    name, cues = values.string("a tier name"), []
    values.number("a start"), values.number("an end")
    for index in range(int(values.number("the number of intervals"))):
        start_s = values.number("a time")
        end_s = values.number("a time") if is_interval else start_s
        label = values.string("a label")
        if label.strip().lower() not in _PAUSES:
            cues.append(_cue(label, start_s, end_s, f"tier {name!r}, interval {index + 1}"))
    return (name, cues) if is_interval else None


_PARSERS: dict[str, Callable[[str], Iterable[Word]]] = {
    ".srt": _parse_cues,
    ".vtt": _parse_cues,
    ".json": _parse_json,
    ".textgrid": _parse_textgrid,
}

"""Words of the .json that speech recognisers write: Whisper, WhisperX, plain lists of words, and others."""

import json
import math
from collections.abc import Iterator
from typing import Any

from lhg_jax.speech.cues import Cue, TranscriptError, letters
from lhg_jax.speech.recogniser_json import plain_entries

WANTED = '{"word": "...", "start": 0.1, "end": 0.4}'


def parse_json(text: str) -> Iterator[Cue]:
    """Cues of a list of words, or of the segments of {"segments": [...]} or {"words": [...]}.

    Words without times (WhisperX gives numbers none) stand between their neighbours.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise TranscriptError(f"line {error.lineno}: not JSON ({error.msg})") from None
    except (RecursionError, ValueError):
        raise TranscriptError("not JSON of words (nested too deeply, or a number too long)") from None
    if isinstance(content, dict):
        content = _listed(content)
    if not isinstance(content, list):
        raise TranscriptError('want a list of words or {"segments": [...]}')
    plain: list[tuple[Any, str]] = []
    for index, entry in enumerate(content):
        words = entry.get("words") if isinstance(entry, dict) else None
        if isinstance(words, list) and words:
            yield from _placed([(word, f"entry {index + 1}") for word in words], *_bounds(entry))
        else:
            plain.append((entry, f"entry {index + 1}"))
    yield from _placed(plain, None, None)


def _listed(content: dict[str, Any]) -> Any:
    """The list of words or segments in an object of JSON; None where there is none.

    OpenAI's service puts words beside segments that have none.
    """
    segments = content.get("segments")
    lists = [content[key] for key in ("words", "word_segments") if content.get(key)]
    if lists and not _have_words(segments):
        return lists[0]
    if segments is not None:
        return segments
    if "words" in content:
        return content["words"]
    try:
        return plain_entries(content)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise TranscriptError(f"not what a recogniser writes ({type(error).__name__}: {error})") from None


def _have_words(segments: Any) -> bool:
    return isinstance(segments, list) and any(isinstance(one, dict) and one.get("words") for one in segments)


def _bounds(segment: dict[str, Any]) -> tuple[float | None, float | None]:
    return _time(segment.get("start")), _time(segment.get("end"))


def _time(value: Any) -> float | None:
    """A time, or None where there is none (null, empty, NaN). Raises for what is no number."""
    if value is None or value == "":
        return None
    try:
        time_s = float(value)
    except OverflowError:
        return math.inf
    return None if math.isnan(time_s) else time_s


def _placed(entries: list[tuple[Any, str]], low_s: float | None, high_s: float | None) -> Iterator[Cue]:
    """Cues of entries in order; `low_s` and `high_s` bound those without times at the ends."""
    rows = [(*_parts(entry, where), where) for entry, where in entries]
    waiting: list[tuple[str, str]] = []
    last_s = low_s
    for text, start_s, end_s, where in rows:
        if start_s is None or end_s is None:
            waiting.append((text, where))
            continue
        cue = Cue.checked(text, start_s, end_s, where)
        yield from _between(waiting, last_s, cue.start_s)
        yield cue
        waiting, last_s = [], cue.end_s
    yield from _between(waiting, last_s, high_s)


def _between(texts: list[tuple[str, str]], low_s: float | None, high_s: float | None) -> Iterator[Cue]:
    """Entries without times in the stretch that is free for them, in proportion to their letters."""
    if not texts:
        return
    low_s, high_s = (low_s if low_s is not None else high_s), (high_s if high_s is not None else low_s)
    if low_s is None or high_s is None:
        raise TranscriptError(f"{texts[0][1]}: want {WANTED}")
    total, done = max(1, sum(letters(text) for text, _ in texts)), 0
    step_s = max(0.0, high_s - low_s) / total
    for text, where in texts:
        start, done = done, done + letters(text)
        yield Cue.checked(text, low_s + step_s * start, low_s + step_s * done, where)


def _parts(entry: Any, where: str) -> tuple[str, float | None, float | None]:
    try:
        text = entry.get("word") or entry.get("text") or ""
        start_s, end_s, length_s = (_time(entry.get(key)) for key in ("start", "end", "duration"))
        if end_s is None and start_s is not None and length_s is not None:  # captions that YouTube lists
            end_s = start_s + length_s
        return str(text), start_s, end_s
    except (AttributeError, TypeError, ValueError):
        raise TranscriptError(f"{where}: want {WANTED}") from None

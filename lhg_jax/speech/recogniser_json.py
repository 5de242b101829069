"""The JSON of speech recognisers that is no plain list of words, brought into that form.

Whisper.cpp (`-oj`), Vosk, YouTube's json3 captions, Deepgram, Amazon Transcribe, transformers of Hugging
Face; by their keys.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

Entries = list[dict[str, Any]]  # {"text": "...", "start": seconds, "end": seconds}


def plain_entries(content: Mapping[str, Any]) -> Entries | None:
    """Entries with times in seconds; None for a form that is not known.

    Raises KeyError, TypeError, AttributeError or IndexError where a known form lacks something.
    """
    form = next((key for key in FORMS if key in content), None)
    return FORMS[form](content[form]) if form is not None else None


def _whisper_cpp(transcription: Any) -> Entries:
    """Segments with `offsets` in milliseconds."""
    return [
        _entry(item["text"], item["offsets"]["from"] / 1000, item["offsets"]["to"] / 1000)
        for item in transcription
    ]


def _vosk(result: Any) -> Entries:
    return [_entry(item["word"], item["start"], item["end"]) for item in result]


def _youtube(events: Any) -> Entries:
    """Events of pieces that start at an offset, in milliseconds; each ends where the next one starts."""
    found = [
        _entry(
            piece["utf8"],
            (event["tStartMs"] + piece.get("tOffsetMs", 0)) / 1000,
            (event["tStartMs"] + event.get("dDurationMs", 0)) / 1000,
        )
        for event in events
        for piece in event.get("segs", [])
        if piece["utf8"].strip()
    ]
    for entry, following in itertools.zip_longest(found, found[1:], fillvalue={"start": math.inf}):
        entry["end"] = max(entry["start"], min(entry["end"], following["start"]))
    return found


def _chunks(chunks: Any) -> Entries:
    """Words or phrases with a pair of times, the last of which may be open."""
    return [_entry(item["text"], *item["timestamp"]) for item in chunks]


def _results(results: Any) -> Entries:
    """Deepgram's first channel, or Amazon's items, of which signs have no times."""
    if "channels" in results:
        return _vosk(results["channels"][0]["alternatives"][0]["words"])
    return [
        _entry(item["alternatives"][0]["content"], float(item["start_time"]), float(item["end_time"]))
        for item in results["items"]
        if "start_time" in item
    ]


def _entry(text: str, start: float, end: float | None) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end}


FORMS: dict[str, Callable[[Any], Entries]] = {
    "transcription": _whisper_cpp,
    "result": _vosk,
    "events": _youtube,
    "results": _results,
    "chunks": _chunks,
}

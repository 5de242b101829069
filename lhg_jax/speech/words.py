"""Words with times: from a transcript file (.srt .vtt .json .TextGrid), and onto motion frames."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int

from lhg_jax.motion import FRAME_RATE
from lhg_jax.speech.captions import parse_captions
from lhg_jax.speech.cues import Cue, TranscriptError, Word
from lhg_jax.speech.textgrid import parse_textgrid
from lhg_jax.speech.word_lists import parse_json
from lhg_jax.util.errors import UserError


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


def read_transcript(path: str | os.PathLike) -> list[Word]:
    """Words of a transcript, in order of their start; UTF-8, with or without a byte order mark.

    .srt, .vtt: cues, with words at their own times where a .vtt has some, and lines that automatic captions
    repeat once. .TextGrid (Praat, long or short): the intervals of the first interval tier named like
    "word", else of the first interval tier. .json: a list of {"word" or "text", "start", "end"}, or Whisper's
    {"segments": [{"words": [...]} or {"text", "start", "end"}]}; times in seconds. Words without times stand
    between their neighbours.
    A cue of several words is shared out between them in proportion to their letters.

    Raises:
      UserError: unknown suffix, unreadable file, wrong syntax (with the line), negative or reversed times.
    """
    path = Path(path)
    parse = PARSERS.get(path.suffix.lower())
    if parse is None:
        raise UserError(f"{path}: unknown kind of transcript (known: {', '.join(PARSERS)})")
    try:
        text = _decode(path.read_bytes())
        words = [word for cue in parse(text) for word in cue.words()]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except TranscriptError as error:
        raise UserError(f"{path}: {error}") from None
    return sorted(words, key=lambda word: word.start_s)


def _decode(data: bytes) -> str:
    try:
        return data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        raise TranscriptError(f"not UTF-8 text (byte {error.start})") from None


def _encoding(data: bytes) -> str:
    """UTF-8, or UTF-16 as Praat may write it, with or without a byte order mark."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if data[:2].count(0) == 1:  # a letter of ASCII, as all these files begin with
        return "utf-16-be" if data[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def misfit(words: list[Word], clip_s: float) -> str | None:
    """What to tell the user where most words fall outside of a clip of that length (s), else None."""
    inside = sum(word.start_s < clip_s for word in words)
    if 2 * inside >= len(words):
        return None
    first_s, last_s = words[0].start_s, max(word.end_s for word in words)
    count = f"only {inside} of its {len(words)} words fall" if inside else "none of its words falls"
    message = f"{count} into the clip of {clip_s:.1f} s: they run from {first_s:g} to {last_s:g} s"
    return message + " (are they milliseconds?)" if last_s / 1000 <= 1.5 * clip_s else message


PARSERS: dict[str, Callable[[str], Iterable[Cue]]] = {
    ".srt": parse_captions,
    ".vtt": parse_captions,
    ".json": parse_json,
    ".textgrid": parse_textgrid,
}

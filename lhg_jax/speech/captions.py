"""Words of SubRip and WebVTT captions, also of those that speech recognisers write line upon line."""

import dataclasses
import itertools
import re
from collections.abc import Iterator

from lhg_jax.speech.cues import Cue, TranscriptError

_TIME = r"(?:(\d+):)?(\d\d?):(\d\d?)(?:[,.](\d{1,9})(?:\.\d*)?)?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_STAMP = re.compile(rf"<{_TIME}>")  # of a word, within a line of WebVTT
_TAG = re.compile(r"</?[a-z\d][^>]*>|\{\\[^}]*\}", re.IGNORECASE)  # <i>, <v Speaker>, <00:01.000>, {\an8}

# Automatic captions show every line twice: as the new one, then above the next. Such a file is known by so
# many of its captions (a part of all); two captions that follow each other do so within TOUCH_S.
ROLLING, TOUCH_S = 0.25, 0.1
OVERLAPPING = (
    0.5  # part of the captions that go on beyond the start of the next, in files where that means nothing
)
COPY_S = 0.1  # a caption that shows only what was there and is as short as this is no speech


@dataclasses.dataclass(frozen=True)
class Caption:
    """A caption as it stands in the file: lines of text with their tags."""

    start_s: float
    end_s: float
    lines: list[str]
    where: str

    @property
    def plain(self) -> list[str]:
        """The lines as they are shown."""
        return [_plain(line) for line in self.lines]


def parse_captions(text: str) -> list[Cue]:
    """Cues of a file: a line `start --> end`, then text up to an empty line."""
    captions = _one_by_one(list(_captions(text.splitlines())))
    pairs = itertools.pairwise(captions)
    carried = [0] * min(1, len(captions)) + [_carried(before, after) for before, after in pairs]
    shown = [_shows_rolling(caption, count) for caption, count in zip(captions, carried, strict=True)]
    if sum(shown) < max(1.0, ROLLING * (len(captions) - 1)):
        carried = [0] * len(captions)
    return [cue for caption, count in zip(captions, carried, strict=True) for cue in _cues(caption, count)]


def _captions(lines: list[str]) -> Iterator[Caption]:
    timings = [number for number, line in enumerate(lines) if "-->" in line]
    if not timings and any(line.strip() for line in lines if not line.startswith("WEBVTT")):
        raise TranscriptError("line 1: no cue (a line `00:00:01,000 --> 00:00:02,500`) in the file")
    for number, following in itertools.pairwise([*timings, len(lines)]):
        where = f"line {number + 1}"
        match = _TIMING.match(lines[number])
        if match is None:
            raise TranscriptError(f"{where}: not a timing (want 00:00:01,000 --> 00:00:02,500)")
        start_s, end_s = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
        Cue.checked("", start_s, end_s, where)
        body = _body(lines[number + 1 : following], following == len(lines))
        yield Caption(start_s, end_s, [line for line in body if line.strip()], where)


def _body(lines: list[str], is_last: bool) -> list[str]:
    """The text of a caption. A line of blanks ends it only where no empty line does: YouTube writes such."""
    if "" in lines:
        return lines[: lines.index("")]
    blank = [number for number, line in enumerate(lines) if not line.strip()]
    if blank and not is_last:
        return lines[: blank[-1]]  # what follows is the number or the name of the next one
    if lines and not is_last and lines[-1].strip().isdigit():
        return lines[:-1]  # no empty line at all: the number of the next one
    return lines


def _one_by_one(captions: list[Caption]) -> list[Caption]:
    """Captions that end where the next one starts, where most go on: YouTube leaves each for another line."""
    pairs = list(itertools.pairwise(captions))
    overlapping = sum(before.start_s < after.start_s < before.end_s - TOUCH_S for before, after in pairs)
    if overlapping < max(1.0, OVERLAPPING * len(pairs)):
        return captions
    ends = [
        min(before.end_s, after.start_s) if before.start_s < after.start_s else before.end_s
        for before, after in pairs
    ]
    cut = [dataclasses.replace(one, end_s=end_s) for one, end_s in zip(captions[:-1], ends, strict=True)]
    return [*cut, captions[-1]]


def _carried(before: Caption, after: Caption) -> int:
    """How many of the first lines of a caption stood last in the one before it."""
    if after.start_s > before.end_s + TOUCH_S:
        return 0
    counts = range(min(len(before.lines), len(after.lines)), 0, -1)
    return next((n for n in counts if before.plain[-n:] == after.plain[:n]), 0)


def _shows_rolling(caption: Caption, carried: int) -> bool:
    """Whether a caption has old lines and new ones, or is a short copy: people write neither."""
    is_copy = carried == len(caption.lines) and caption.end_s - caption.start_s < COPY_S
    return carried > 0 and (is_copy or carried < len(caption.lines))


def _cues(caption: Caption, carried: int) -> Iterator[Cue]:
    """The new words of a caption: at their own stamps where there are some, else over all of its time."""
    lines = caption.lines[carried:]
    stamped = [line for line in lines if _STAMP.search(line)]
    if not stamped:
        yield Cue(" ".join(map(_plain, lines)), caption.start_s, caption.end_s)
        return
    pieces = _STAMP.split(" ".join(lines))  # text, then four parts of a time and text, again and again
    texts = pieces[::5]
    times = [
        caption.start_s,
        *(_seconds(*pieces[i : i + 4]) for i in range(1, len(pieces), 5)),
        caption.end_s,
    ]
    for text, start_s, end_s in zip(texts, times[:-1], times[1:], strict=True):
        yield Cue.checked(_plain(text), start_s, max(start_s, end_s), caption.where)


def _plain(line: str) -> str:
    return _TAG.sub("", line).strip()


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction or 0}")

"""What people have written down about AMI's meetings, in the files of the NITE XML toolkit (NXT).

Who sits where (`corpusResources/meetings.xml`), what each says and when (`words/`), and how they move their
heads (`headGesture/`). docs/data.md says which names in these files were checked, and where.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from lhg_jax.data.gestures import Gesture
from lhg_jax.preparation.turns import Span
from lhg_jax.speech.cues import Word
from lhg_jax.util.errors import UserError
from lhg_jax.util.xml import local_name, read_xml

# A part of the name of a type of gesture -> what it is; the first that fits counts. AMI's labellers named
# what a movement means: agreeing is a nod, denying a shake.
KINDS = {
    "shake": "shake",
    "discord": "shake",
    "disagree": "shake",
    "negati": "shake",
    "nod": "nod",
    "concord": "nod",
    "agree": "nod",
    "affirm": "nod",
    "comprehen": "nod",
}
NAMES_OF_TYPE = ("type", "kind", "gesture", "label", "value", "name", "gloss")


@dataclasses.dataclass(frozen=True)
class Participant:
    """A person in a meeting.

    Attributes:
      agent: letter in the names of the annotations' files.
      name: of the person, the same in all meetings.
      channel: number of the headset; None where it is not said.
      camera: of the close-up, e.g. `Closeup2`; None where it is not said.
    """

    agent: str
    name: str
    channel: int | None
    camera: str | None


@dataclasses.dataclass(frozen=True)
class Speech:
    """One person's voice through a meeting: `words` in order of their start, and when they laugh."""

    words: tuple[Word, ...]
    laughter: tuple[Span, ...]


def read_meetings(path: Path) -> Mapping[str, list[Participant]]:
    """The people of each meeting. Raises `UserError` where the file cannot be used."""
    meetings: dict[str, list[Participant]] = {}
    for meeting in read_xml(path).iter():
        if local_name(meeting.tag) == "meeting" and meeting.get("observation"):
            people = [_participant(child) for child in meeting if local_name(child.tag) == "speaker"]
            meetings[meeting.get("observation", "")] = [person for person in people if person is not None]
    if not meetings:
        raise UserError(f"{path}: names no meeting (<meeting observation=...>)")
    return meetings


def _participant(speaker: Element) -> Participant | None:
    agent, channel, camera = (speaker.get(name, "") for name in ("nxt_agent", "channel", "camera"))
    if not agent:
        return None
    number = int(channel) if channel.isdecimal() else None
    camera = f"Closeup{camera}" if camera.isdecimal() else camera
    return Participant(agent, speaker.get("global_name") or agent, number, camera or None)


def read_speech(path: Path) -> Speech:
    """The words of a `words` file; those without times are left out, punctuation goes to the word before.

    Raises `UserError` where the file cannot be read, or a time is no number.
    """
    words: list[Word] = []
    laughter: list[Span] = []
    for element in read_xml(path):
        kind, text = local_name(element.tag), (element.text or "").strip()
        if kind == "w" and element.get("punc") == "true":
            if words and text:
                words[-1] = dataclasses.replace(words[-1], text=words[-1].text + text)
            continue
        span = _span(path, element)
        if span is None:
            continue
        if kind == "w" and text:
            words.append(Word(text, *span))
        elif kind == "vocalsound" and element.get("type") == "laugh":
            laughter.append(span)
    return Speech(tuple(sorted(words, key=lambda word: word.start_s)), tuple(laughter))


def _span(path: Path, element: Element) -> Span | None:
    """When an element happens; None without times, or where they run backwards."""
    texts = element.get("starttime"), element.get("endtime")
    if None in texts:
        return None
    try:
        span = Span(*(float(text or "") for text in texts))
    except ValueError:
        span = Span(math.nan, math.nan)
    if not all(map(math.isfinite, span)):
        raise UserError(f"{path}: a time is no number ({texts[0]!r} to {texts[1]!r})")
    return span if 0 <= span.start_s <= span.end_s else None


def read_gestures(path: Path, ontologies: Path) -> list[Gesture]:
    """The gestures of a `headGesture` file, in order of their start.

    Each element with times is one. Its type is an attribute, or stands in an ontology that a pointer names.

    Raises `UserError` where the file or the ontology cannot be read.
    """
    types: dict[Path, Mapping[str, str]] = {}
    gestures = []
    for element in read_xml(path).iter():
        span = _span(path, element)
        if span is None or not span.length_s:
            continue
        name = next(_type_names(element, ontologies, types), "")
        gestures.append(Gesture(kind_of(name), *span, name))
    return sorted(gestures, key=lambda gesture: gesture.start_s)


def kind_of(name: str) -> str:
    """`nod`, `shake`, or `other`."""
    plain = name.lower()
    return next((kind for part, kind in KINDS.items() if part in plain), "other")


def _type_names(element: Element, ontologies: Path, types: dict[Path, Mapping[str, str]]) -> Iterator[str]:
    """What an element says of its type: by attributes, then by what its pointers name."""
    yield from _own_names(element)
    for child in element:
        file, _, anchor = child.get("href", "").partition("#")
        if local_name(child.tag) == "pointer" and anchor:
            path = ontologies / Path(file).name
            if path not in types:
                types[path] = _names_by_id(path)
            target = anchor.removeprefix("id(").removesuffix(")")
            yield types[path].get(target, target)


def _names_by_id(path: Path) -> Mapping[str, str]:
    """The name of each entry of an ontology; where it has none, its id."""
    names = {}
    for entry in read_xml(path).iter():
        ids = [value for key, value in entry.attrib.items() if local_name(key) == "id"]
        for identifier in ids:
            names[identifier] = next(_own_names(entry), identifier)
    return names


def _own_names(element: Element) -> Iterator[str]:
    return (element.get(key, "") for key in NAMES_OF_TYPE if element.get(key))

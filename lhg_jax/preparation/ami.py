"""The AMI Meeting Corpus (Carletta et al. 2005): meetings of four, each with a headset and a close-up camera.

A clip is a passage in which one holds the floor, with one of the others listening. Nothing is read here but
the annotations and the names of the files.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from lhg_jax.data.gestures import Gesture
from lhg_jax.preparation.ami_annotations import (
    Participant,
    read_gestures,
    read_meetings,
    read_speech,
)
from lhg_jax.preparation.clip_files import Index, LeftOut, index_files
from lhg_jax.preparation.excerpts import Excerpt, ExcerptListing, View, words_of
from lhg_jax.preparation.turns import Span, is_listening, joined, others_heard, passages
from lhg_jax.util.errors import UserError
from lhg_jax.util.suffixes import SOUND_FILES, VIDEO_FILES

MEETINGS = Path("corpusResources", "meetings.xml")
# The corpus's own partition "Full-corpus-ASR" (groups.inf.ed.ac.uk/ami/corpus/datasets.shtml), by groups of
# meetings with the same people: nobody is in two. IB4005 is in none, for its people are.
PARTITION = {
    "train": "EN2001 EN2003 EN2004 EN2005 EN2006 EN2009 ES2002 ES2003 ES2005 ES2006 ES2007 ES2008 ES2009 "
    "ES2010 ES2012 ES2013 ES2014 ES2015 ES2016 IN1001 IN1002 IN1005 IN1007 IN1008 IN1009 IN1012 IN1013 "
    "IN1014 IN1016 IS1000 IS1001 IS1002 IS1003 IS1004 IS1005 IS1006 IS1007 TS3005 TS3006 TS3007 TS3008 "
    "TS3009 TS3010 TS3011 TS3012",
    "valid": "ES2011 IB4001 IB4002 IB4003 IB4004 IB4010 IB4011 IS1008 TS3004",
    "test": "EN2002 ES2004 IS1009 TS3003",
}
SPLITS = {group: split for split, groups in PARTITION.items() for group in groups.split()}


def read_ami(root: Path, split_names: Mapping[str, str]) -> ExcerptListing:
    """The passages of all meetings, by meeting, speaker and listener.

    Args:
      root: holds the manual annotations and the recordings, at any depth.
      split_names: split of further meetings, or of groups of them (`IB4005`).

    Raises:
      UserError: no such folder, or no table of the meetings in it.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    tables = [path for path in (root / MEETINGS, *sorted(root.glob(f"**/{MEETINGS}"))) if path.is_file()]
    if not tables:
        raise UserError(f"{root}: no {MEETINGS} in it (unpack the manual annotations there)")
    corpus = _Corpus(tables[0].parents[1], index_files(root, VIDEO_FILES), index_files(root, SOUND_FILES))
    splits = SPLITS | dict(split_names)
    listing = ExcerptListing([], corpus.left_out)
    for meeting, people in sorted(read_meetings(tables[0]).items()):
        split = splits.get(meeting, splits.get(meeting[:6]))
        if split is None:
            why = f"is in no part of the official partition (--splits {meeting[:6]} train takes it)"
            listing.left_out.append(LeftOut(meeting, why))
            continue
        try:
            listing.excerpts.extend(corpus.excerpts(meeting, split, people))
        except UserError as error:
            listing.left_out.append(LeftOut(meeting, str(error)))
    if corpus.unknown_types:
        names = ", ".join(f"{name!r} ({count})" for name, count in sorted(corpus.unknown_types.items()))
        listing.left_out.append(LeftOut("head gestures", f"neither nods nor shakes: {names}"))
    return listing


@dataclasses.dataclass
class _Corpus:
    """The annotations, and the recordings by the stems of their names.

    Collects what is left out, and types of gestures that are neither nods nor shakes.
    """

    annotations: Path
    videos: Index
    sounds: Index
    left_out: list[LeftOut] = dataclasses.field(default_factory=list)
    unknown_types: Counter[str] = dataclasses.field(default_factory=Counter)

    def excerpts(self, meeting: str, split: str, people: list[Participant]) -> Iterator[Excerpt]:
        """Those of one meeting. Raises `UserError` where it is not known who speaks when."""
        if not people:
            raise UserError("nobody takes part in it (meetings.xml)")
        _require_different(people)
        speech = {
            person.agent: read_speech(self.annotations / "words" / f"{meeting}.{person.agent}.words.xml")
            for person in people
        }
        spoken = {who: joined(Span(w.start_s, w.end_s) for w in said.words) for who, said in speech.items()}
        heard = {who: joined((*spoken[who], *said.laughter)) for who, said in speech.items()}
        end_s = max((parts[-1].end_s for parts in heard.values() if parts), default=0.0)
        views = {p.agent: view for p in people if (view := self._view(meeting, p)) is not None}
        sounds = {p.agent: sound for p in people if (sound := self._sound(meeting, p)) is not None}
        gestures = {p.agent: self._gestures(meeting, p) for p in people}
        names = {p.agent: p.name for p in people}
        for passage in passages(spoken, end_s):
            speaker = passage.speaker
            others = others_heard(heard, speaker, passage.span)
            if speaker not in views or speaker not in sounds or not is_listening(others, passage.span):
                continue
            for listener in (agent for agent in views if agent != speaker):
                yield Excerpt(
                    uuid=f"{meeting}-{speaker}-{listener}-{round(passage.span.start_s * 1000):07d}",
                    split=split,
                    video_id=meeting,
                    speaker_id=names[speaker],
                    listener_id=names[listener],
                    span=passage.span,
                    speaker=views[speaker],
                    listener=views[listener],
                    sound=sounds[speaker],
                    words=words_of(speech[speaker].words, passage.span),
                    others=tuple(others),
                    gestures=gestures_of(gestures[listener], passage.span),
                )

    def _view(self, meeting: str, person: Participant) -> View | None:
        name = f"{meeting}.{person.camera}"
        if person.camera is not None and name in self.videos:
            return View(self.videos[name])
        what = "no camera in meetings.xml" if person.camera is None else f"the video is missing ({name})"
        self.left_out.append(LeftOut(f"{meeting}.{person.agent}", what))
        return None

    def _sound(self, meeting: str, person: Participant) -> Path | None:
        name = f"{meeting}.Headset-{person.channel}"
        if person.channel is not None and name in self.sounds:
            return self.sounds[name]
        what = "no channel in meetings.xml" if person.channel is None else f"the sound is missing ({name})"
        self.left_out.append(LeftOut(f"{meeting}.{person.agent}", f"never speaks: {what}"))
        return None

    def _gestures(self, meeting: str, person: Participant) -> list[Gesture] | None:
        """None where nobody has labelled them, or the labels cannot be read."""
        path = self.annotations / "headGesture" / f"{meeting}.{person.agent}.headGesture.xml"
        if not path.is_file():
            return None
        try:
            gestures = read_gestures(path, self.annotations / "ontologies")
        except UserError as error:
            self.left_out.append(LeftOut(f"{meeting}.{person.agent}", f"without its gestures: {error}"))
            return None
        self.unknown_types.update(gesture.name for gesture in gestures if gesture.kind == "other")
        return gestures


def _require_different(people: list[Participant]) -> None:
    """Raises `UserError` where two people have one letter, headset or camera: one of them is wrong."""
    for what in ("agent", "channel", "camera"):
        values = [getattr(person, what) for person in people if getattr(person, what) is not None]
        if twice := [value for value in values if values.count(value) > 1]:
            raise UserError(f"two people have the same {what} ({twice[0]}) in meetings.xml")


def gestures_of(gestures: list[Gesture] | None, span: Span) -> tuple[Gesture, ...] | None:
    """Those that reach into a span, cut to it, in seconds from its start."""
    if gestures is None:
        return None
    start_s, end_s = span
    inside = (g for g in gestures if g.end_s > start_s and g.start_s < end_s)
    return tuple(
        g._replace(start_s=max(g.start_s, start_s) - start_s, end_s=min(g.end_s, end_s) - start_s)
        for g in inside
    )

"""A small folder shaped like the AMI corpus, with real media files, and what can be wrong with it."""

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import av
import numpy as np
from media_clips import make_images

from lhg_jax import media

NITE = 'xmlns:nite="http://nite.sourceforge.net/"'
HEAD = f'<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>\n<nite:root nite:id="x" {NITE}>\n'
PEOPLE = {"A": ("FEE001", 1, "Closeup2"), "B": ("MEE002", 0, "Closeup1"), "C": ("MEO003", 2, "Closeup4")}
SECONDS = 32
# Who says what from when to when: A holds the floor, then B, in whose turn A says a word and C laughs. What A
# says at last is too short for a passage.
TURNS = (("A", 1.0, 12.0), ("B", 14.0, 26.0), ("A", 20.0, 20.6), ("A", 29.0, 31.0))
LAUGH = ("C", 23.0, 24.0)
NOD, SHAKE = (16.0, 17.0), (17.5, 18.5)


def words_xml(agent: str) -> str:
    """Two words a second in each turn, a mark at its end, and the laugh; one word that has no time."""
    rows, number = ["<w>untimed</w>"], 0
    for who, start_s, end_s in TURNS:
        for start in np.arange(start_s, end_s - 0.25, 0.5) if who == agent else ():
            text = escape(f"word{number}") if number else "caf\u00e9"
            rows.append(f'<w starttime="{start:.2f}" endtime="{start + 0.4:.2f}">{text}</w>')
            number += 1
        if who == agent:
            rows.append(f'<w starttime="{end_s}" endtime="{end_s}" punc="true">.</w>')
    if agent == LAUGH[0]:
        rows.append(f'<vocalsound starttime="{LAUGH[1]}" endtime="{LAUGH[2]}" type="laugh"/>')
    rows.append('<vocalsound starttime="29" endtime="29.5" type="cough"/><disfmarker/>')
    return HEAD + "\n".join(rows) + "\n</nite:root>"


def gestures_xml() -> str:
    """One gesture whose type is in an ontology, one with an attribute, one of neither kind."""
    pointer = '<nite:pointer role="type" href="head-types.xml#id(head_3)"/>'
    return (
        f'{HEAD}<head starttime="{NOD[0]}" endtime="{NOD[1]}">{pointer}</head>\n'
        f'<head starttime="{SHAKE[0]}" endtime="{SHAKE[1]}" type="discord signal"/>\n'
        '<head starttime="25" endtime="25.5" type="turn"/>\n</nite:root>'
    )


ONTOLOGY = f'{HEAD}<head-type nite:id="head_3" name="concord signal"/>\n</nite:root>'


class AmiTree:
    """Annotations in `root/annotations`, recordings in `root/amicorpus`."""

    def __init__(self, folder: Path):
        self.root = folder / "ami"
        self.annotations = self.root / "annotations"
        self.meetings: dict[str, dict[str, tuple]] = {}
        self._video, self._sound = folder / "model.avi", folder / "model.wav"
        folder.mkdir(parents=True, exist_ok=True)
        write_avi(self._video)
        rng = np.random.default_rng(0)
        media.write_audio(self._sound, rng.normal(0, 0.05, SECONDS * 16000).astype(np.float32), 16000)

    def options(self) -> list:
        """Of `python -m lhg_jax.prepare`."""
        return ["--source", "ami", "--root", self.root, "--workers", "1"]

    def add(self, meeting: str, people: dict[str, tuple] | None = None, labelled: str = "A") -> None:
        """A meeting with all its files; `labelled`: whose gestures."""
        self.meetings[meeting] = dict(people or PEOPLE)
        for agent, (_, channel, camera) in self.meetings[meeting].items():
            self.write(self.words(meeting, agent), words_xml(agent))
            link(self._video, self.video(meeting, camera))
            link(self._sound, self.sound(meeting, channel))
        for agent in labelled:
            self.write(self.gestures(meeting, agent), gestures_xml())
        self.write(self.annotations / "ontologies" / "head-types.xml", ONTOLOGY)
        self.write_meetings()

    def write_meetings(self) -> None:
        rows = []
        for meeting, people in self.meetings.items():
            rows.append(f"<meeting observation={quoteattr(meeting)}>")
            for agent, (name, channel, camera) in people.items():
                extra = f' channel="{channel}"' if channel is not None else ""
                extra += f' camera="{camera}"' if camera is not None else ""
                rows.append(f'<speaker nxt_agent="{agent}" global_name="{name}"{extra} role="PM"/>')
            rows.append("</meeting>")
        self.write(
            self.annotations / "corpusResources" / "meetings.xml", HEAD + "\n".join(rows) + "</nite:root>"
        )

    def words(self, meeting: str, agent: str) -> Path:
        return self.annotations / "words" / f"{meeting}.{agent}.words.xml"

    def gestures(self, meeting: str, agent: str) -> Path:
        return self.annotations / "headGesture" / f"{meeting}.{agent}.headGesture.xml"

    def video(self, meeting: str, camera: str) -> Path:
        return self.root / "amicorpus" / meeting / "video" / f"{meeting}.{camera}.avi"

    def sound(self, meeting: str, channel: int) -> Path:
        return self.root / "amicorpus" / meeting / "audio" / f"{meeting}.Headset-{channel}.wav"

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("iso-8859-1"))


def link(source: Path, target: Path) -> None:
    """The same file under another name; `unlink` before writing to one of them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.hardlink_to(source)


def replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def write_avi(path: Path, seconds: int = SECONDS, size: tuple[int, int] = (32, 24)) -> None:
    """25 frames/s in MPEG-4 part 2, as AMI's; each second has its own brightness."""
    images = make_images(8, *size)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(25 * seconds):
            image = images[number % 8] // 2 + np.uint8(3 * (number // 25))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>'
)


def damage(tree: AmiTree) -> dict[str, str]:
    """Adds a meeting of each kind that cannot be used as it is; returns what the report must say."""
    numbers = iter((3, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16))
    said: dict[str, str] = {}

    def add(reason: str, who: str = "", people: dict | None = None, labelled: str = "") -> str:
        meeting = f"ES20{next(numbers):02d}a"
        tree.add(meeting, people, labelled)
        said[meeting + who] = reason
        return meeting

    def without(agent: str, index: int) -> dict[str, tuple]:
        person = [*PEOPLE[agent]]
        person[index] = None
        return {**PEOPLE, agent: tuple(person)}

    tree.words(add("words.xml: no such file"), "B").unlink()
    path = tree.words(add("not an XML file, or damaged"), "A")
    path.write_bytes(path.read_bytes()[:300])
    tree.words(add("declares a document type"), "C").write_text(BOMB)
    path = tree.words(add("a time is no number ('soon' to"), "C")
    path.write_text(path.read_text("iso-8859-1").replace('starttime="29"', 'starttime="soon"'))
    tree.meetings[add("no camera in meetings.xml", ".C")] = without("C", 2)
    tree.meetings[add("never speaks: no channel in meetings.xml", ".B")] = without("B", 1)
    tree.video(add("the video is missing", ".C"), "Closeup4").unlink()
    tree.sound(add("never speaks: the sound is missing", ".A"), 1).unlink()
    twins = {**PEOPLE, "C": ("MEO003", 2, "Closeup1")}
    tree.meetings[add("two people have the same camera (Closeup1)")] = twins
    path = tree.gestures(add("without its gestures", ".A", labelled="A"), "A")
    path.write_bytes(path.read_bytes()[:200])
    tree.add("IB4005")
    said["IB4005"] = "is in no part of the official partition"
    tree.write_meetings()
    return said


def damage_recordings(tree: AmiTree, meeting: str) -> dict[str, str]:
    """Makes recordings of a meeting useless; returns what the report must say of the clips.

    C has an empty video, and the sound of B's headset ends in the middle of what B says.
    """
    replace(tree.video(meeting, "Closeup4"), b"")
    sound = tree.sound(meeting, 0)
    replace(sound, sound.read_bytes()[: 44 + 2 * 16000 * 20])
    return {
        f"{meeting}-A-C-0000500": "is empty (0 bytes)",
        f"{meeting}-B-A-0013500": "ends after 195 of 417 frames",
        f"{meeting}-B-C-0013500": "ends after 195 of 417 frames",
    }

"""The files of one conversation, before anything is read from them; how sources list them and refuse some."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from lhg_jax.util.names import stem

COEFFICIENT_SUFFIXES = (".mat", ".npz")
TRANSCRIPT_SUFFIXES = (".srt", ".vtt", ".json", ".TextGrid")


@dataclasses.dataclass(frozen=True)
class ClipFiles:
    """One conversation.

    Attributes:
      uuid: name of the clip, unique in its data set.
      split: name of the split it belongs to.
      video_id, speaker_id, listener_id, attitude: see `schema.ClipInfo`.
      speaker, listener: videos, with or without sound; None where there is none.
      sound: the speaker's sound; None: that of the speaker's video.
      speaker_coefficients, listener_coefficients: read by `faces.precomputed`; None: track the video.
      transcript: file that `speech.words` reads; None: recognise the words.
    """

    uuid: str
    split: str
    video_id: str = ""
    speaker_id: str = ""
    listener_id: str = ""
    attitude: str = "unknown"
    speaker: Path | None = None
    listener: Path | None = None
    sound: Path | None = None
    speaker_coefficients: Path | None = None
    listener_coefficients: Path | None = None
    transcript: Path | None = None

    def paths(self) -> list[Path]:
        """All files."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [value for value in values if isinstance(value, Path)]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A clip that cannot be used; `reason` is one line for the person who can mend it."""

    uuid: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source holds."""

    clips: list[ClipFiles]
    left_out: list[LeftOut]


Index = Mapping[str, Path]


def index_files(folder: Path | None, suffixes: Iterable[str]) -> Index:
    """Files of a folder and its subfolders by `names.stem`; of equal names, the least deep one."""
    if folder is None or not folder.is_dir():
        return {}
    wanted = {suffix.lower() for suffix in suffixes}
    files = sorted(folder.rglob("*"), key=lambda path: (-len(path.parts), path))
    return {stem(path): path for path in files if path.suffix.lower() in wanted and path.is_file()}

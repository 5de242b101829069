"""ViCo as it is published: the challenge's layout, and the full data set with attitudes (Zhou et al. 2022).

Both are a folder with `videos/`, `audios/` and annotations; the columns of a .csv say which of the two it is.
Nothing is read here but the annotations and the names of the files.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lhg_jax.preparation.clip_files import (
    COEFFICIENT_SUFFIXES,
    TRANSCRIPT_SUFFIXES,
    ClipFiles,
    Index,
    LeftOut,
    Listing,
    index_files,
)
from lhg_jax.util.csv_table import read_csv_table
from lhg_jax.util.errors import UserError
from lhg_jax.util.names import composed
from lhg_jax.util.suffixes import SOUND_FILES, VIDEO_FILES

CHALLENGE_COLUMNS = ("video_id", "uuid", "speaker_id", "listener_id")
FULL_COLUMNS = ("audio", "listener", "speaker", "listener_id", "speaker_id", "data_split")
# How splits are called in the wild -> how we call them.
SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "ood": "ood",
    "out_of_domain": "ood",
    "test_ood": "ood",
}
ATTITUDES = ("positive", "neutral", "negative")


class _RowError(Exception):
    """What is wrong with a row of the annotations."""


def read_vico(
    root: Path, coefficients: Path | None, transcripts: Path | None, split_names: Mapping[str, str]
) -> Listing:
    """The conversations of a folder in either layout, in the order of the annotations.

    Args:
      root: holds `videos/`, `audios/` and .csv files, itself or in `listening_head/`.
      coefficients: folder with `<stem of the video>.mat` or `.npz`, at any depth; None: track all.
      transcripts: folder with `<uuid>` (or stem of the sound) and a transcript's suffix, at any depth.
      split_names: what else splits are called there -> train, valid, test or ood.

    Raises:
      UserError: no such folder, or no annotations of either layout in it.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    if (root / "listening_head").is_dir():
        root = root / "listening_head"
    reader = _Reader(root, coefficients, transcripts, SPLITS | dict(split_names))
    tables = [(path, read_csv_table(path)) for path in sorted(root.glob("*.csv"))]
    for path, table in tables:
        header, rows = table.header, table.rows
        if set(CHALLENGE_COLUMNS) <= set(header):
            reader.read(path, header, rows, reader.challenge_clip)
        elif set(FULL_COLUMNS) <= set(header):
            reader.read(path, header, rows, reader.full_clip)
    if not reader.tables:
        raise UserError(
            f"{root}: no .csv here has the columns of ViCo: {', '.join(CHALLENGE_COLUMNS)} (challenge) or "
            f"{', '.join(FULL_COLUMNS)} (full data set)"
        )
    return Listing(reader.clips, reader.left_out)


class _Reader:
    """Collects the clips of all tables of a folder."""

    def __init__(
        self, root: Path, coefficients: Path | None, transcripts: Path | None, split_names: Mapping[str, str]
    ):
        self.videos = index_files(root / "videos", VIDEO_FILES)
        self.sounds = index_files(root / "audios", SOUND_FILES)
        self.coefficients = index_files(coefficients, COEFFICIENT_SUFFIXES)
        self.transcripts = index_files(transcripts, TRANSCRIPT_SUFFIXES)
        self.split_names = split_names
        self.clips: list[ClipFiles] = []
        self.left_out: list[LeftOut] = []
        self.tables = 0

    def read(self, path: Path, header: list[str], rows, make_clip) -> None:
        """Adds a table's rows; those that say nothing usable are left out."""
        self.tables += 1
        known = {clip.uuid for clip in self.clips}
        for number, cells in rows:
            where = f"{path.name} line {number}"
            try:
                clip = make_clip(path, _row(header, cells))
                if clip.uuid in known:
                    raise _RowError(f"uuid {clip.uuid} occurs before")
            except _RowError as error:
                name = (
                    cells[header.index("uuid")] if "uuid" in header and len(cells) == len(header) else where
                )
                self.left_out.append(LeftOut(_printable(name), f"{where}: {error}"))
                continue
            known.add(clip.uuid)
            self.clips.append(clip)

    def challenge_clip(self, path: Path, row: Mapping[str, str]) -> ClipFiles:
        """`videos/{uuid}.speaker.mp4`, `audios/{uuid}.wav`; the file's name is the split."""
        uuid = _stem(row["uuid"], ())
        return self._clip(
            uuid, row, self._split(path.stem), row["video_id"], (f"{uuid}.speaker", f"{uuid}.listener", uuid)
        )

    def full_clip(self, _: Path, row: Mapping[str, str]) -> ClipFiles:
        """Three names of files; the uuid is a hash of them (`convert.py` draws it at random)."""
        speaker, listener = (_stem(row[name], VIDEO_FILES) for name in ("speaker", "listener"))
        sound = _stem(row["audio"], SOUND_FILES)
        uuid = hashlib.sha256("\n".join((listener, speaker, sound)).encode()).hexdigest()[:12]
        video_id = sound.rsplit("_", 2)[0]
        return self._clip(uuid, row, self._split(row["data_split"]), video_id, (speaker, listener, sound))

    def _clip(
        self, uuid: str, row: Mapping[str, str], split: str, video_id: str, stems: tuple[str, str, str]
    ) -> ClipFiles:
        speaker, listener, sound = stems
        attitude = row.get("attitude", "").lower() or "unknown"
        if attitude not in (*ATTITUDES, "unknown"):
            raise _RowError(f"attitude {attitude!r} is none of {', '.join(ATTITUDES)}")
        for kind, name, *places in (
            ("speaker's video", speaker, self.videos, self.coefficients),
            ("listener's video", listener, self.videos, self.coefficients),
            ("speaker's sound", sound, self.sounds),
        ):
            if not any(name in place for place in places):
                raise _RowError(f"the {kind} is missing ({name})")
        return ClipFiles(
            uuid=uuid,
            split=split,
            video_id=video_id,
            speaker_id=row["speaker_id"],
            listener_id=row["listener_id"],
            attitude=attitude,
            speaker=self.videos.get(speaker),
            listener=self.videos.get(listener),
            sound=self.sounds[sound],
            speaker_coefficients=self.coefficients.get(speaker),
            listener_coefficients=self.coefficients.get(listener),
            transcript=_first(self.transcripts, uuid, sound),
        )

    def _split(self, name: str) -> str:
        try:
            return self.split_names[name.strip().lower()]
        except KeyError:
            raise _RowError(
                f"unknown split {name!r} (known: {', '.join(self.split_names)}; "
                f"a csv's name is its split; --splits {name} train takes it for the training set)"
            ) from None


def _row(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise _RowError(f"{len(cells)} cells, but {len(header)} columns")
    row = dict(zip(header, cells, strict=True))
    for name, cell in row.items():
        if _printable(cell) != cell:
            raise _RowError(f"{name} is not in UTF-8")
    return row


def _printable(text: str) -> str:
    """With bytes that are not UTF-8 as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _stem(name: str, suffixes: tuple[str, ...]) -> str:
    """A file's name without its suffix; it may stand in a subfolder, but nowhere else."""
    path = PurePosixPath(name)
    if not name:
        raise _RowError("the name of a file is empty")
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise _RowError(f"{name!r} leads out of the data's folder")
    return composed(path.stem if path.suffix.lower() in suffixes else path.name)


def _first(index: Index, *names: str) -> Path | None:
    return next((index[name] for name in names if name in index), None)

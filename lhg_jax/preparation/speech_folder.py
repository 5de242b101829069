"""Recordings of speech with their texts, in the layouts that people have them."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lhg_jax.preparation.clip_files import TRANSCRIPT_SUFFIXES, LeftOut, index_files
from lhg_jax.speech.words import Word, read_transcript
from lhg_jax.util.errors import UserError
from lhg_jax.util.suffixes import SOUND_FILES

MANIFEST = "manifest.jsonl"
LEAST_TURN_S = 1.0


@dataclasses.dataclass(frozen=True)
class Recording:
    """One person's speech in a file.

    Attributes:
      path: of the sound.
      speaker: who speaks; splits are made of speakers.
      text: what is said, without times; empty where `words` say it.
      words: with times in s from the start of the file.
      spans: start and end (s) of what this person says; empty: the whole file.
      english: whether alignment, word vectors and sentiment apply.
      clear: whether the recording is marked as free to be passed on (manifest: `redistribution`).
    """

    path: Path
    speaker: str
    text: str = ""
    words: tuple[Word, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()
    english: bool = True
    clear: bool = False


@dataclasses.dataclass(frozen=True)
class SpeechListing:
    """What a folder holds, in a fixed order."""

    recordings: list[Recording]
    left_out: list[LeftOut]


def read_speech_folder(root: Path) -> SpeechListing:
    """Lists a folder in one of four layouts, told apart by their files.

    `manifest.jsonl` (a line a recording: `file`, `speaker`, `text` or `words` or `turns`, `language`,
    `redistribution`); LibriSpeech (`SPEAKER-CHAPTER.trans.txt` beside the sound); LJSpeech (`metadata.csv`
    and `wavs/`); else a flat folder of `NAME.wav|flac|ogg` with `NAME.txt` or a transcript of the same name,
    where the speaker is what precedes the first underscore of NAME.

    Raises:
      UserError: no such folder, none of its recordings has a text, or a broken list (with the line).
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    layouts: tuple[tuple[bool, Callable[[Path], Iterator[Recording | LeftOut]]], ...] = (
        ((root / MANIFEST).is_file(), _read_manifest),
        (any(root.rglob("*.trans.txt")), _read_librispeech),
        ((root / "metadata.csv").is_file(), _read_ljspeech),
        (True, _read_flat),
    )
    read = next(reader for found, reader in layouts if found)
    found = list(read(root))
    recordings = [item for item in found if isinstance(item, Recording)]
    if not recordings:
        raise UserError(f"{root}: no recording with a text in it (docs/data.md lists the layouts)")
    return SpeechListing(recordings, [item for item in found if isinstance(item, LeftOut)])


def wanted_recordings(
    root: Path, listing: SpeechListing, clear_only: bool, english_only: bool
) -> list[Recording]:
    """Those that may be passed on, those in English, or both. Raises `UserError` where none is left."""
    kept = [item for item in listing.recordings if item.clear or not clear_only]
    if not kept:
        raise UserError(
            f"{root}: no recording is marked `clear` (leave --clear-licence out for your own use)"
        )
    kept = [item for item in kept if item.english or not english_only]
    if not kept:
        raise UserError(f"{root}: no recording is in English (leave --english-only out)")
    return kept


def _read_manifest(root: Path) -> Iterator[Recording | LeftOut]:
    for number, line in enumerate(_lines(root / MANIFEST), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            path = _inside(root, str(row["file"]))
            recordings = list(_of_row(path, row))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{root / MANIFEST}: line {number}: {error!r} (docs/data.md has the fields)"
            ) from None
        if not path.is_file():
            yield LeftOut(str(row["file"]), "no such file")
        elif not recordings:
            yield LeftOut(str(row["file"]), "several people speak, and no turns say who when")
        else:
            yield from recordings


def _of_row(path: Path, row: Mapping[str, Any]) -> Iterator[Recording]:
    """One recording for each person of a row of the manifest."""
    english = row.get("language", "en") == "en"
    clear = row.get("redistribution") == "clear"
    words = tuple(Word(str(text), float(start), float(end)) for text, start, end in row.get("words") or ())
    if isinstance(row["speaker"], str):
        text = "" if words else str(row.get("text", ""))
        yield Recording(path, row["speaker"], text, words, (), english, clear)
        return
    for speaker in row["speaker"] if row.get("turns") else ():
        own = ((float(a), float(b), str(text)) for a, b, who, text in row["turns"] if who == speaker)
        turns = [turn for turn in own if turn[1] - turn[0] >= LEAST_TURN_S]
        spans = tuple((start, end) for start, end, _ in turns)
        said = tuple(word for start, end, text in turns for word in shared_out(text, start, end))
        if spans:
            yield Recording(path, speaker, "", said, spans, english, clear)


def _read_librispeech(root: Path) -> Iterator[Recording | LeftOut]:
    for table in sorted(root.rglob("*.trans.txt")):
        for line in _lines(table):
            name, _, text = line.partition(" ")
            path = _inside(table.parent, f"{name}.flac")
            if not text.strip() or not path.is_file():
                yield LeftOut(name, "no text" if path.is_file() else f"{path.name}: no such file")
            else:
                yield Recording(path, f"libri-{name.split('-')[0]}", text.lower())


def _read_ljspeech(root: Path) -> Iterator[Recording | LeftOut]:
    for line in _lines(root / "metadata.csv"):
        name, _, text = line.partition("|")
        path = _inside(root / "wavs", f"{name}.wav")
        if not text.strip() or not path.is_file():
            yield LeftOut(name, "no text" if path.is_file() else f"{path.name}: no such file")
        else:
            yield Recording(path, "lj", text.rpartition("|")[2])  # the last column has numbers written out


def _read_flat(root: Path) -> Iterator[Recording | LeftOut]:
    texts, transcripts = index_files(root, (".txt",)), index_files(root, TRANSCRIPT_SUFFIXES)
    for name, path in sorted(index_files(root, SOUND_FILES).items()):
        speaker = name.partition("_")[0]
        try:
            if name in transcripts:
                yield Recording(path, speaker, words=tuple(read_transcript(transcripts[name])))
            elif name in texts:
                yield Recording(path, speaker, texts[name].read_text(encoding="utf-8-sig"))
            else:
                yield LeftOut(name, f"neither {name}.txt nor a transcript of that name")
        except (UserError, UnicodeDecodeError) as error:
            yield LeftOut(name, str(error))


def shared_out(text: str, start_s: float, end_s: float) -> list[Word]:
    """The words of a text spoken from start to end, each with time in proportion to its letters."""
    texts = text.split()
    edges = [0]
    for word in texts:
        edges.append(edges[-1] + len(word))
    scale = (end_s - start_s) / max(edges[-1], 1)
    return [
        Word(word, start_s + scale * a, start_s + scale * b)
        for word, a, b in zip(texts, edges, edges[1:], strict=False)
    ]


def _lines(path: Path) -> list[str]:
    """Of a list of recordings."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None


def _inside(root: Path, name: str) -> Path:
    """A file of a folder. Raises ValueError for a name that leads out of it."""
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{name!r} leads out of the folder")
    return path

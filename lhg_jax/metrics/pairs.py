"""Which prediction belongs to which reference, and both videos frame by frame."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lhg_jax.media import read_frames
from lhg_jax.util.csv_table import read_csv_table, require_utf8
from lhg_jax.util.errors import UserError
from lhg_jax.util.names import composed, stem
from lhg_jax.util.suffixes import VIDEO_FILES

# A codec or a resampler may add or drop a frame at the end; more means that the clips do not correspond.
LENGTH_TOLERANCE = 3  # frames
MAX_APART_S = 0.2  # of frames that are compared; of 29.97 and 30 frames/s they are 0.1 s apart after 100 s

Images = UInt8[np.ndarray, "frames height width 3"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """One clip of the test set.

    Attributes:
      name: uuid, or the reference's file name without suffix.
      prediction, reference: videos of the listener; None where there is no such file.
      speaker: video of the speaker, where given.
    """

    name: str
    prediction: Path | None
    reference: Path | None
    speaker: Path | None = None


def find_pairs(
    predictions: Path, references: Path, annotations: Path | None = None, speakers: Path | None = None
) -> list[Pair]:
    """Pairs by file name, NAME.listener.mp4 or NAME.mp4; with `annotations`, one for each uuid of the csv.

    Raises:
      UserError: a folder is missing, there is no clip, or a uuid comes twice.
    """
    for folder in filter(None, (predictions, references, speakers)):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    reference = _videos(references)
    names = _annotated(annotations) if annotations else _names(reference)
    if not names:
        raise UserError(f"{annotations or references}: no clips to evaluate")
    prediction, speaker = _videos(predictions), _videos(speakers) if speakers else {}
    return [
        Pair(
            name, _find(prediction, name, "listener"), _find(reference, name, "listener"),
            _find(speaker, name, "speaker"),
        )
        for name in names
    ]  # fmt: skip


def _annotated(path: Path) -> list[str]:
    table = read_csv_table(path)
    require_utf8(path, table)
    columns = [name.lower() for name in table.header]
    place = columns.index("uuid") if "uuid" in columns else len(columns)
    names = [composed(cells[place]) if place < len(cells) else "" for _, cells in table.rows]
    if not all(names) or any("/" in name for name in names):
        raise UserError(f"{path}: needs a column 'uuid' with a file name in each row")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UserError(f"{path}: uuid {twice[0]!r} comes more than once")
    return names


def _videos(folder: Path) -> dict[str, Path]:
    """The videos of a folder by name without suffix. Raises `UserError` where two have one name."""
    videos: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in VIDEO_FILES or path.name[0] == "." or not path.is_file():
            continue
        if stem(path) in videos:
            raise UserError(f"{folder}: {videos[stem(path)].name} and {path.name} are two videos of one name")
        videos[stem(path)] = path
    return videos


def _names(references: dict[str, Path]) -> list[str]:
    stems = {name for name in references if not name.endswith(".speaker")}
    return sorted({name.removesuffix(".listener") for name in stems})


def _find(videos: dict[str, Path], name: str, role: str) -> Path | None:
    return videos.get(f"{name}.{role}", videos.get(name))


def paired_frames(
    prediction: Path, reference: Path, warn: Callable[[str], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (prediction, reference) images of the reference's size, frame by frame; memory is one frame.

    A prediction of another size is resized (bicubic; averaging where it shrinks), one that is up to
    `LENGTH_TOLERANCE` frames longer or shorter is cut: `warn` is told.

    Raises:
      UserError: a file that cannot be read, or lengths that differ by more.
    """
    count, extra, is_resized, apart_s, firsts_s = 0, 0, False, 0.0, (0.0, 0.0)
    for a, b in itertools.zip_longest(read_frames(prediction), read_frames(reference)):
        if a is None or b is None:
            extra += 1
            longer = "reference" if a is None else "prediction"
            continue
        firsts_s = firsts_s if count else (a.time_s, b.time_s)
        apart_s = max(apart_s, abs((a.time_s - firsts_s[0]) - (b.time_s - firsts_s[1])))
        count += 1
        image = _resize(a.image, b.image.shape[0], b.image.shape[1])
        if image is not a.image and not is_resized:
            is_resized = True
            sizes = [f"{x.image.shape[1]}x{x.image.shape[0]}" for x in (a, b)]
            warn(f"prediction resized from {sizes[0]} to the reference's {sizes[1]}")
        yield image, b.image
    if extra > LENGTH_TOLERANCE:
        raise UserError(
            f"{prediction}: prediction and reference differ in length, the {longer} has {extra} frames "
            f"after the first {count} (write as many as the reference has)"
        )
    if apart_s > MAX_APART_S:
        warn(f"frames that are compared are shown up to {apart_s:.1f} s apart (another frame rate)")
    if extra:
        warn(f"the {longer} has {extra} more frames: cut to {count}")


def _resize(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    import cv2

    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def batches(
    frames: Iterator[tuple[np.ndarray, np.ndarray]], size: int
) -> Iterator[tuple[Images, Images, int]]:
    """Stacks pairs to (predictions, references, count) of `size` frames; the last one repeats its last frame.

    Equal shapes mean that nothing is compiled again; only the first `count` frames are real.
    """
    while chunk := list(itertools.islice(frames, size)):
        count = len(chunk)
        chunk += chunk[-1:] * (size - count)
        yield np.stack([a for a, _ in chunk]), np.stack([b for _, b in chunk]), count

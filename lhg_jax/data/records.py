"""Folders of clips: ArrayRecord shards and a metadata.json that says what is in them; also a TFDS dataset."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import Example, FeatureSpec
from lhg_jax.data.schema import ClipInfo, decode, decode_info, presumed_features
from lhg_jax.motion import FRAME_RATE, SPACES, CoefficientSpace
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import MissingExtraError, UserError, about

METADATA = "metadata.json"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What one split of a folder holds.

    Attributes:
      space: name of the coefficient space of all motions.
      source: where the clips come from: `synthetic`, or the folder they were read from.
      seed: of the simulator; -1 for real clips.
      frames: number of frames of each clip, in order.
      uuids: name of each clip, in order.
      keys: what each clip was made of and how, as a hash (`jobs.Job.key`), in order.
      shards: file names, in order.
      mean, std: of each coefficient over both people's frames that are seen, of the folder's training split
        (of all its splits, where it has none for training), in its own unit.
      features: what the numbers mean; None in folders from before it was kept (`RecordSource.features`).
    """

    space: str
    source: str
    seed: int
    frames: list[int]
    uuids: list[str]
    keys: list[str]
    shards: list[str]
    mean: list[float]
    std: list[float]
    features: FeatureSpec | None = None

    @property
    def hours(self) -> float:
        """Length of all clips."""
        return sum(self.frames) / FRAME_RATE / 3600


@dataclasses.dataclass
class RunningStatistics:
    """Sums from which mean and standard deviation of each column follow; float64: order hardly matters.

    Attributes:
      count: rows seen.
      total, squares: sums of the columns and of their squares.
    """

    count: int
    total: Float[np.ndarray, "coeff"]
    squares: Float[np.ndarray, "coeff"]

    @classmethod
    def empty(cls, size: int) -> "RunningStatistics":
        """Of no rows of `size` columns."""
        return cls(0, np.zeros(size), np.zeros(size))

    def add(self, rows: Float[np.ndarray, "rows coeff"]) -> None:
        """Takes in more rows."""
        rows = rows.astype(np.float64)
        self.count += len(rows)
        self.total += rows.sum(axis=0)
        self.squares += (rows**2).sum(axis=0)

    def merge(self, other: "RunningStatistics") -> None:
        """Takes in another's rows."""
        self.count += other.count
        self.total = self.total + other.total
        self.squares = self.squares + other.squares

    @property
    def mean(self) -> Float[np.ndarray, "coeff"]:
        """Zeros without rows."""
        return self.total / max(self.count, 1)

    @property
    def std(self) -> Float[np.ndarray, "coeff"]:
        """With the number of rows as divisor."""
        return np.sqrt(np.maximum(self.squares / max(self.count, 1) - self.mean**2, 0))


def write_shard(path: str | os.PathLike, records: Iterable[bytes]) -> None:
    """Writes records (`schema.encode`) to an ArrayRecord file, which gets its name only when it is complete.

    A clip is one uncompressed record: crops are read at random, and half-precision features hardly compress.
    Raises `UserError` where it cannot be written, also for a full disk.
    """
    with replacing(path) as temporary:
        writer = _array_record().ArrayRecordWriter(str(temporary), "group_size:1,uncompressed")
        try:
            for record in records:
                with _write_errors(path):
                    writer.write(record)
        except BaseException:
            with contextlib.suppress(RuntimeError):
                writer.close()
            raise
        with _write_errors(path):
            writer.close()


@contextlib.contextmanager
def _write_errors(path: str | os.PathLike) -> Iterator[None]:
    """What ArrayRecord raises as an error of ours."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(f"{path}: cannot be written ({str(error).partition(';')[0]})") from error


def write_metadata(folder: str | os.PathLike, splits: dict[str, Metadata]) -> None:
    """Writes metadata.json, atomically; it comes last, so a folder that has one is complete."""
    with replacing(Path(folder, METADATA)) as temporary:
        text = json.dumps({name: dataclasses.asdict(split) for name, split in splits.items()})
        temporary.write_text(text, encoding="utf-8")


def read_metadata(folder: str | os.PathLike) -> dict[str, Metadata]:
    """Metadata of each split. Raises `UserError` where the folder is missing, unfinished or not ours."""
    try:
        contents = json.loads(Path(folder, METADATA).read_text(encoding="utf-8"))
        splits = {name: _metadata(split) for name, split in contents.items()}
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder}: no prepared clips here (write them with python -m lhg_jax.prepare)"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{folder}/{METADATA}: cannot be read ({error}; prepare the data again, into a new folder)"
        ) from error
    for split in splits.values():
        if split.space not in SPACES:
            raise UserError(f"{folder}: unknown coefficient space {split.space!r}")
        if not len(split.mean) == len(split.std) == SPACES[split.space].size:
            raise UserError(f"{folder}/{METADATA}: mean and std do not fit the space {split.space!r}")
    return splits


def _metadata(split: dict[str, Any]) -> Metadata:
    """Raises ValueError, TypeError or AttributeError for anything that `write_metadata` did not write."""
    features = split.pop("features", None)
    found = Metadata(**split, features=FeatureSpec(**features) if features else None)
    lists: list[tuple[list[Any], type | tuple[type, ...]]] = [
        (found.frames, int), (found.uuids, str), (found.keys, str), (found.shards, str),
        (found.mean, (int, float)), (found.std, (int, float)),
    ]  # fmt: skip
    if not all(
        isinstance(values, list) and all(isinstance(x, kind) for x in values) for values, kind in lists
    ):
        raise TypeError("a list holds something else than it should")
    if not len(found.frames) == len(found.uuids) == len(found.keys):
        raise ValueError("frames, uuids and keys are not of one length")
    if any(os.path.basename(name) != name or not name or "\0" in name for name in found.shards):
        raise ValueError("the name of a shard is none")
    return found


class RecordSource:
    """Random access to the clips of one split; can be sent to worker processes."""

    def __init__(self, folder: str | os.PathLike, metadata: Metadata):
        """Raises `UserError` where the folder is not what its metadata says."""
        self.folder = str(folder)
        self.metadata = metadata
        self.shard_paths = [str(Path(folder, name)) for name in metadata.shards]
        for path in self.shard_paths:
            if not Path(path).is_file():
                raise UserError(f"{path}: shard is missing (prepare the data again)")
        with self._errors():
            self._records = _data_source()(self.shard_paths)
        if len(self._records) != len(metadata.uuids):
            raise UserError(
                f"{folder}: {len(self._records)} clips, but {METADATA} lists {len(metadata.uuids)}"
            )

    @property
    def space(self) -> CoefficientSpace:
        """Space of all motions."""
        return SPACES[self.metadata.space]

    @functools.cached_property
    def features(self) -> FeatureSpec:
        """What the features of all clips mean."""
        return self.metadata.features or presumed_features(self[0], self.metadata.space)

    @functools.cached_property
    def shard_sizes(self) -> list[int]:
        """Number of clips in each shard."""
        with self._errors():
            return [_array_record().ArrayRecordReader(path).num_records() for path in self.shard_paths]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the clips and of what they are made of, wherever the folder is."""
        text = json.dumps([self.metadata.uuids, self.metadata.keys, dataclasses.asdict(self.features)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        """In the precision of the disk: `pipeline.crop` makes float32 of what it cuts out."""
        with self._errors():
            return decode(self._records[int(index)], int(index))

    def info(self, index: int) -> ClipInfo:
        """Who and what a clip is."""
        with self._errors():
            return decode_info(self._records[int(index)], int(index))

    def record(self, index: int) -> bytes:
        """The bytes of a clip."""
        with self._errors():
            return self._records[int(index)]

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Damaged shards and clips as errors that name the folder."""
        try:
            with about(self.folder):
                yield
        except (ValueError, RuntimeError) as error:  # of ArrayRecord
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.folder}: a shard is damaged: {reason} (prepare the data again)"
            ) from error


def open_source(path: str | os.PathLike) -> RecordSource:
    """The clips that `python -m lhg_jax.prepare` wrote.

    Args:
      path: the folder, where it has one split; else FOLDER/SPLIT, e.g. `out/vico/train`.

    Raises:
      UserError: nothing prepared there, several splits and none chosen, or an unknown one.
    """
    folder, chosen = Path(path), None
    if not Path(path, METADATA).is_file() and Path(path).parent.joinpath(METADATA).is_file():
        folder, chosen = folder.parent, folder.name
    splits = read_metadata(folder)
    if chosen is None and len(splits) == 1:
        chosen = next(iter(splits))
    if chosen not in splits:
        what = "holds several splits" if chosen is None else f"has no split {chosen!r}"
        raise UserError(f"{folder}: {what} (name one: {', '.join(f'{folder}/{name}' for name in splits)})")
    return RecordSource(folder, splits[chosen])


def _array_record():
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise MissingExtraError("reading and writing ArrayRecord", "train") from error
    return array_record_module


def _data_source():
    _array_record()
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    return ArrayRecordDataSource

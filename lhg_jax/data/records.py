"""Folders of clips: ArrayRecord shards and a metadata.json that says what is in them."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lhg_jax.data.schema import Example, decode, decode_uuid, encode
from lhg_jax.errors import MissingExtraError, UserError
from lhg_jax.motion import SPACES, CoefficientSpace

METADATA = "metadata.json"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a folder holds.

    Attributes:
      space: name of the coefficient space of all motions.
      source: where the clips come from, e.g. `synthetic`.
      seed: of the simulator; -1 for real clips.
      frames: number of frames of each clip, in order.
      uuids: name of each clip, in order.
      shards: file names, in order.
      mean, std: of each coefficient over both people's valid frames, in its own unit.
    """

    space: str
    source: str
    seed: int
    frames: list[int]
    uuids: list[str]
    shards: list[str]
    mean: list[float]
    std: list[float]

    @property
    def hours(self) -> float:
        """Length of all clips."""
        return sum(self.frames) / 30 / 3600


def write_shard(path: str | os.PathLike, clips: Iterable[tuple[str, Example]]) -> None:
    """Writes (uuid, example) pairs to an ArrayRecord file, which gets its name only when it is complete.

    A clip is one uncompressed record: crops are read at random, and half-precision features hardly compress.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    writer = _array_record().ArrayRecordWriter(str(temporary), "group_size:1,uncompressed")
    try:
        for uuid, example in clips:
            writer.write(encode(example, uuid))
        writer.close()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def describe_shards(
    folder: str | os.PathLike, shards: list[str], *, space: CoefficientSpace, source: str, seed: int
) -> Metadata:
    """Reads finished shards once and gathers what the metadata says of them."""
    records = _data_source()([str(Path(folder, name)) for name in shards])
    frames, uuids, count = [], [], 0
    total, squares = np.zeros(space.size), np.zeros(space.size)
    for number in range(len(records)):
        record = records[number]
        example = decode(record, number)
        frames.append(example.features.frames)
        uuids.append(decode_uuid(record, number))
        rows = [example.target[example.features.valid]]
        if example.features.has_motion:
            rows.append(example.features.motion[example.features.valid])
        values = np.concatenate(rows).astype(np.float64)
        count += len(values)
        total += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return Metadata(space.name, source, seed, frames, uuids, shards, mean.tolist(), std.tolist())


def write_metadata(folder: str | os.PathLike, metadata: Metadata) -> None:
    """Writes metadata.json, atomically; it comes last, so a folder that has one is complete."""
    path = Path(folder, METADATA)
    temporary = path.with_name(f".{METADATA}.{os.getpid()}.part")
    temporary.write_text(json.dumps(dataclasses.asdict(metadata)), encoding="utf-8")
    os.replace(temporary, path)


def read_metadata(folder: str | os.PathLike) -> Metadata:
    """Raises `UserError` where the folder is missing, unfinished or not ours."""
    try:
        metadata = Metadata(**json.loads(Path(folder, METADATA).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no prepared clips here (write them with python -m lhg_jax.prepare)"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder}/{METADATA}: cannot be read ({error})") from error
    if metadata.space not in SPACES:
        raise UserError(f"{folder}: unknown coefficient space {metadata.space!r}")
    return metadata


class RecordSource:
    """Random access to the clips of a folder; can be sent to worker processes."""

    def __init__(self, folder: str | os.PathLike):
        """Raises `UserError` where the folder is not what its metadata says."""
        self.folder = str(folder)
        self.metadata = read_metadata(folder)
        paths = [str(Path(folder, name)) for name in self.metadata.shards]
        for path in paths:
            if not Path(path).is_file():
                raise UserError(f"{path}: shard is missing (prepare the data again)")
        self._records = _data_source()(paths)
        if len(self._records) != len(self.metadata.uuids):
            raise UserError(
                f"{folder}: {len(self._records)} clips, but {METADATA} lists {len(self.metadata.uuids)}"
            )

    @property
    def space(self) -> CoefficientSpace:
        """Space of all motions."""
        return SPACES[self.metadata.space]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        return decode(self._records[int(index)], int(index))


def open_source(folder: str | os.PathLike) -> RecordSource:
    """The clips of a folder that `python -m lhg_jax.prepare` wrote."""
    return RecordSource(folder)


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

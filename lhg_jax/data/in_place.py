"""The clips of prepared folders, of which only those rows are read that somebody takes."""

import bisect
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from lhg_jax.contract import Example, FeatureSpec, SpeakerFeatures
from lhg_jax.data.mapped import MappedShard
from lhg_jax.data.records import RecordSource
from lhg_jax.data.schema import DTYPES, KEYS, LATER, OF_EXAMPLE, VECTORS
from lhg_jax.motion import CoefficientSpace

WHOLE = ("word_table", *VECTORS)  # small, or looked at in all places
NAMES = tuple(DTYPES)
HEAD = 128  # bytes in which an array's name and the lengths before its values are found

Read = Callable[[int, int], bytes]  # bytes of a record from a place on, at most so many


class Rows:
    """A matrix in a record; rows are read when a slice of them is taken."""

    def __init__(self, read: Read, start: int, shape: tuple[int, ...], dtype: Any):
        """`read` gives bytes of the record, `start` is where the matrix begins there."""
        self._read, self._start, self.shape, self.dtype = read, start, shape, np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, last, _ = rows.indices(len(self))
        width = self.shape[1] * self.dtype.itemsize
        count = max(last - first, 0)
        raw = self._read(self._start + first * width, count * width)
        return np.frombuffer(raw, self.dtype).reshape(count, self.shape[1])


class InPlaceSource:
    """A `RecordSource` whose matrices are `Rows`: for crops; can be sent to worker processes.

    What cannot be read in place (other files than `records.write_shard` writes, clips from before the
    contract, damage) is left to the source, which also finds the words for what is wrong.
    """

    def __init__(self, source: RecordSource):
        """`source` stays open beside it."""
        self._source = source
        self._ends = list(itertools.accumulate(source.shard_sizes))
        self._places = np.zeros((len(source), len(NAMES), 3), np.int32)  # start, rows, columns; 0: unknown

    @property
    def space(self) -> CoefficientSpace:
        """Space of all motions."""
        return self._source.space

    @property
    def features(self) -> FeatureSpec:
        """What the features of all clips mean."""
        return self._source.features

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        """In the precision of the disk."""
        index = int(index)
        shard = bisect.bisect_right(self._ends, index)
        mapped = self._shard(shard)
        if mapped is None:
            return self._source[index]
        read = functools.partial(mapped.read, index - (self._ends[shard - 1] if shard else 0))
        try:
            return self._example(read, index)
        except ValueError:
            return self._source[index]

    def _example(self, read: Read, index: int) -> Example:
        """Raises ValueError where the record is not one of `schema.encode`."""
        places = self._places[index]
        if not places[0, 0]:
            places[:] = find_arrays(read)
        arrays: dict[str, Any] = {}
        for name, (start, rows, columns) in zip(NAMES, places.tolist(), strict=True):
            matrix = Rows(read, start, (rows, columns), DTYPES[name])
            arrays[name] = matrix[:] if name in WHOLE else matrix
        arrays |= {name: arrays[name][:, 0] for name in VECTORS}
        words = arrays["word_index"]
        if words.min(initial=0) < 0 or words.max(initial=0) >= len(arrays["word_table"]):
            raise ValueError("words are not in their table")
        own = {name: arrays.pop(name) for name in OF_EXAMPLE}
        in_clip = np.ones(len(words), bool)
        return Example(SpeakerFeatures(**arrays, in_clip=in_clip), index=np.int32(index), **own)

    def _shard(self, number: int) -> MappedShard | None:
        """A file of records; None where it cannot be read in place."""
        if number not in self._mapped:
            try:
                path, count = self._source.shard_paths[number], self._source.shard_sizes[number]
                self._mapped[number] = MappedShard(path, count)
            except (OSError, ValueError):
                self._mapped[number] = None
        return self._mapped[number]

    @functools.cached_property
    def _mapped(self) -> dict[int, MappedShard | None]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Files are opened anew in another process."""
        return {name: value for name, value in self.__dict__.items() if name != "_mapped"}


def find_arrays(read: Read) -> np.ndarray:
    """(start, rows, columns) of each array of `NAMES` in a record, a tf.Example (`schema.encode`).

    Such a message holds lengths and names before each array's values, so that all of it but these can be
    passed over. Raises ValueError for any other record.
    """
    starts, shapes, keys = {}, {}, set()
    at, end = _message(read(0, HEAD), 0)
    while at < end:
        head = read(at, HEAD)
        key, inner, following = _entry(head)
        keys.add(key)
        name, _, part = key.partition("/")
        if part == "shape":
            shapes[name] = _numbers(head, inner)
        elif name in DTYPES:
            place, last = _message(head, _message(head, inner)[0])
            starts[name] = (at + place, last - place)
        at += following
    if keys - LATER != KEYS:
        raise ValueError("not a clip")
    return np.array([_place(name, *starts[name], shapes.get(name), starts) for name in NAMES], np.int32)


def _place(name: str, start: int, size: int, shape: tuple[int, ...] | None, starts: dict) -> tuple:
    """(start, rows, columns) of an array of `size` bytes. Raises ValueError where its sizes disagree."""
    item = np.dtype(DTYPES[name]).itemsize
    rows, columns = shape if shape is not None else (size // item, 1)
    frames = starts["word_index"][1] // 4
    of_frames = name not in ("log_mel", "word_table", "style")
    if rows * columns * item != size or (of_frames and rows != frames):
        raise ValueError(f"{name} has not the size of its shape")
    return start, rows, columns


def _entry(head: bytes) -> tuple[str, int, int]:
    """Of the entry of a map that begins here: its key, where its value's message begins, where it ends."""
    inside, following = _message(head, 0)
    key_start, key_end = _message(head, inside)
    value, _ = _message(head, key_end)
    return head[key_start:key_end].decode(), value, following


def _numbers(head: bytes, at: int) -> tuple[int, ...]:
    """The numbers of an Int64List, packed."""
    at, end = _message(head, _message(head, at)[0])
    found = []
    while at < end:
        value, at = _varint(head, at)
        found.append(value)
    return tuple(found)


def _message(head: bytes, at: int) -> tuple[int, int]:
    """Where the content of a length-delimited field begins and ends whose tag is at `at`."""
    if at >= len(head) or head[at] & 7 != 2:
        raise ValueError("not a field of bytes")
    size, start = _varint(head, at + 1)
    return start, start + size


def _varint(head: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while at < len(head):
        value |= (head[at] & 127) << shift
        if head[at] < 128:
            return value, at + 1
        at, shift = at + 1, shift + 7
    raise ValueError("a number without end")

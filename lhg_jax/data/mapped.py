"""Parts of records read where they lie in an ArrayRecord file, so that a crop does not move its whole clip.

ArrayRecord files are Riegeli files (google/riegeli, doc/riegeli_records_file_format.md): chunks that a header
of 24 bytes interrupts at every multiple of 64 KiB. Ours have one uncompressed record a chunk
(`records.write_shard`). Sums are not checked here; ArrayRecord's own reader does.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

BLOCK, BLOCK_HEADER = 1 << 16, 24  # bytes
USABLE = BLOCK - BLOCK_HEADER
CHUNK_HEADER = 40
RECORDS = ord("r")  # type of a chunk of records


class MappedShard:
    """A file of records in memory."""

    def __init__(self, path: Path | str, count: int):
        """Finds its `count` records. Raises ValueError or OSError where it is not a file as ours are."""
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._records = list(self._find(count))

    def size(self, record: int) -> int:
        """Bytes of a record."""
        return self._records[record][2]

    def read(self, record: int, start: int, size: int) -> bytes:
        """Bytes [start, start + size) of a record, fewer where it ends before."""
        chunk, offset, length = self._records[record]
        return self._read(chunk, offset + start, min(size, length - start))

    def _read(self, chunk: int, start: int, size: int) -> bytes:
        """Bytes of a chunk, header included."""
        first, last = behind(chunk, start + 1) - 1, behind(chunk, start + size)
        if last - first == size:  # no header between them
            return self._bytes[first:last]
        pieces = []
        while first < last:
            end = min(last, (first // BLOCK + 1) * BLOCK)
            pieces.append(self._bytes[first:end])
            first = end + BLOCK_HEADER
        return b"".join(pieces)

    def _find(self, count: int) -> Iterator[tuple[int, int, int]]:
        """(start of its chunk, place in the chunk, size) of each record."""
        chunk, found = 0, 0
        while found < count:
            header = self._read(chunk, 0, CHUNK_HEADER + 1)
            if len(header) <= CHUNK_HEADER:
                raise ValueError(f"{found} of {count} records")
            data_size, size = (int.from_bytes(header[at : at + 8], "little") for at in (8, 32))
            records = int.from_bytes(header[25:32], "little")
            if records:
                compression = header[CHUNK_HEADER]
                if header[24] != RECORDS or records != 1 or compression or size > data_size:
                    raise ValueError("its records are compressed or grouped")
                yield chunk, CHUNK_HEADER + data_size - size, size
                found += 1
            chunk = max(behind(chunk, CHUNK_HEADER + data_size), boundary(chunk + records))


def behind(position: int, size: int) -> int:
    """Where `size` bytes of a chunk end that begin at `position` of the file, block headers between them."""
    blocks = (size + (position + USABLE - 1) % BLOCK) // USABLE
    return position + size + blocks * BLOCK_HEADER


def boundary(position: int) -> int:
    """The first place at or behind `position` where a chunk may begin: not in, nor right behind, a header."""
    remaining = BLOCK - 1 - (position + BLOCK - 1) % BLOCK
    return position + max(remaining - (USABLE - 1), 0)

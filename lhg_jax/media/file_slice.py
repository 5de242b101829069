"""A media file inside an uncompressed archive (a WebDataset shard), read where it lies."""

import dataclasses
import os
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class FileSlice(os.PathLike):
    """Some bytes of a file that are a file of their own.

    Attributes:
      archive: the file that holds it.
      name: of the file inside, for messages.
      start, size: bytes.
    """

    archive: Path
    name: str
    start: int
    size: int

    def __fspath__(self) -> str:
        """For messages: ARCHIVE/NAME, which no file has."""
        return f"{self.archive}/{self.name}"

    def __str__(self) -> str:
        return os.fspath(self)

    @property
    def url(self) -> str:
        """How FFmpeg opens it."""
        return f"subfile,,start,{self.start},end,{self.start + self.size},,:file:{self.archive}"

    def stat(self) -> os.stat_result:
        """Of the archive: what is inside changes with it."""
        return self.archive.stat()

    def read_bytes(self) -> bytes:
        """All of it; fewer where the archive ends before."""
        with open(self.archive, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)

"""The files of Seamless Interaction as they are published: unpacked, or in WebDataset shards that stay whole.

FOLDER/{label}/{split}/{batch}/{archive}/{id}.{mp4,wav,json,npz}, or the same in .../{archive}.tar; {id} is
V{vendor}_S{session}_I{interaction}_P{participant}. Only names, and the headers of shards, are read here.
"""

import dataclasses
import functools
import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lhg_jax.media import FileSlice
from lhg_jax.preparation.clip_files import LeftOut

LABELS = ("improvised", "naturalistic")
SPLITS = {"train": "train", "dev": "valid", "test": "test"}  # as they call them -> as we do
NEEDED = ("mp4", "wav", "json")
FILE_ID = re.compile(r"(V\d+_S\d+_I\d+)_(P\d+[A-Za-z]*)\.(mp4|wav|json)")

File = Path | FileSlice


@dataclasses.dataclass
class Interaction:
    """Two people's files of one conversation.

    Attributes:
      split: ours.
      files: of each participant (`P0947`), by suffix.
    """

    split: str
    files: dict[str, dict[str, File]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Share:
    """One process's share of the interactions: number `index`, from 0, of `count`."""

    index: int = 0
    count: int = 1

    def has(self, interaction: str) -> bool:
        """The same in every run, whatever else is there."""
        digest = hashlib.sha256(interaction.encode()).digest()  # neighbours' CRCs are too much alike
        return int.from_bytes(digest[:8], "big") % self.count == self.index


def list_interactions(root: Path, share: Share) -> tuple[dict[str, Interaction], list[LeftOut]]:
    """The interactions of a process's share by name, in order, and shards that are damaged."""
    found: dict[str, Interaction] = {}
    left_out: list[LeftOut] = []

    def add(split: str, name: str, file: File) -> None:
        match = FILE_ID.fullmatch(name.rpartition("/")[2])
        if match and share.has(match[1]):
            interaction = found.setdefault(match[1], Interaction(SPLITS[split]))
            interaction.files.setdefault(match[2], {}).setdefault(match[3], file)

    for label in LABELS:
        for split in SPLITS:
            folder = root / label / split
            for path in sorted(folder.glob("*/*/*")):
                add(split, path.name, path)
            for path in sorted(folder.glob("*/*.tar")):
                left_out += _read_shard(path, functools.partial(add, split))
    return dict(sorted(found.items())), left_out


def _read_shard(path: Path, add: Callable[[str, File], None]) -> Iterator[LeftOut]:
    """Lists a shard by its headers; of a damaged one, what is whole."""
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                shard.members = []  # type: ignore[attr-defined]  # else it keeps all headers
                if member.isfile() and member.offset_data + member.size <= size:
                    add(member.name, FileSlice(path, member.name, member.offset_data, member.size))
                elif member.isfile():
                    yield LeftOut(str(path), f"truncated: {member.name} is not whole")
    except (tarfile.TarError, OSError, EOFError) as error:
        yield LeftOut(str(path), f"not a whole tar file ({error})")

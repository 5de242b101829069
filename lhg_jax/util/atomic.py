"""Files that appear complete or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from lhg_jax.util.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a hidden temporary beside `path`, renamed to `path` when the block ends without an exception.

    Its name is taken by nobody else, also not by a process on another machine with the same id. What was
    written is on the disk before the name changes, so a power cut leaves the old file or the new one. On any
    exception (also an interrupt) the temporary goes and an older `path` stays as it was. Missing
    folders are created. Raises `UserError` where the file cannot be written, also for a full disk.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file that can be written")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> Path:
    """An empty file of a name of its own beside `path`. Not by `tempfile`, which lets nobody else read it.

    The suffix stays last: libraries choose the format by it.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part{path.suffix}")
    temporary.touch(exist_ok=False)
    return temporary


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

"""Files that appear complete or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lhg_jax.util.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a hidden temporary beside `path`, renamed to `path` when the block ends without an exception.

    On any exception (also an interrupt) the temporary goes and an older `path` stays as it was. Missing
    folders are created. Raises `UserError` where the file cannot be written, also for a full disk.
    """
    path = Path(path)
    # The suffix stays last: libraries choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file that can be written")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)

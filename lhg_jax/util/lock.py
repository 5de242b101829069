"""One process at a time in a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lhg_jax.util.errors import UserError

NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path, option: str = "--workdir") -> Iterator[None]:
    """Keeps other processes out while the body runs; the system lets go of it however the process ends.

    The folder is made if need be. Raises `UserError`, which names the option for another folder, where
    another process is in it, or where nothing can be written. On file systems without locks, and on Windows,
    nobody is kept out.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise UserError(
                f"{folder}: in use by {owner} (wait for its end, or choose another {option})"
            ) from None
        except OSError:  # a network file system without locks
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield

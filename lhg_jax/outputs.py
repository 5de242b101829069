"""Outputs looked at before the slow stages: that they can be written, and are none of the inputs."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lhg_jax.util.errors import UserError
from lhg_jax.util.names import composed


def require_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises `UserError` for an output that cannot be written, is one of the inputs or is named twice."""
    outputs, inputs = list(outputs), list(inputs)
    require_distinct(outputs)
    for path in outputs:
        for source in inputs:
            if is_same_file(path, source):
                raise UserError(f"{path}: is one of the inputs ({source}), which would be lost")
        require_writable(path)


def require_unread(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises `UserError` for an output that is a file which something else reads."""
    read = {identity: path for path in inputs if (identity := _identity(path))}
    for path in outputs:
        identity = _identity(path)
        if identity and (source := read.get(identity)):
            raise UserError(f"{path}: is an input of another row ({source}), which would be lost")


def _identity(path: Path) -> tuple[int, int] | None:
    """What the system knows a file by, whatever its names; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def require_distinct(outputs: Iterable[Path]) -> None:
    """Raises `UserError` for a file that is to be written twice."""
    seen: set[str] = set()
    for path in outputs:
        name = composed(os.path.abspath(path))  # one file on macOS, however the letters are written
        if name in seen:
            raise UserError(f"{path}: is named twice as an output")
        seen.add(name)


def require_suffix(path: Path, suffixes: tuple[str, ...], what: str) -> None:
    """Raises `UserError` unless the name ends in one of the suffixes."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: {what} is written as {', '.join(suffixes)}")


def require_writable(path: Path) -> None:
    """Raises `UserError` where a file of that name cannot be written. Makes no folder and leaves nothing."""
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder, not a file that can be written")
        folder = next(parent for parent in Path(os.path.abspath(path)).parents if os.path.lexists(parent))
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two names lead to one file, through links and the ways of writing a name too."""
    try:
        return path.exists() and other.exists() and path.samefile(other)
    except OSError:
        return False

"""Archives of unknown origin: none is unpacked that would fill the memory."""

import os
import zipfile

from lhg_jax.util.errors import UserError

MAX_UNPACKED = 1 << 30  # bytes; a day of motion at 30 frames/s and 100 coefficients is as large


def require_unpackable(path: str | os.PathLike) -> None:
    """Raises `UserError` for a zip file (an .npz is one) whose contents are larger than `MAX_UNPACKED`."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # what reads it says what is wrong
    if size > MAX_UNPACKED:
        raise UserError(
            f"{path}: unpacks to {size / 1e9:.1f} GB, more than {MAX_UNPACKED / 1e9:.1f} GB (too much)"
        )

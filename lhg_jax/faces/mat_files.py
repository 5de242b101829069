"""Numeric arrays of MATLAB's `.mat` files, read by SciPy after a look at what would make it crash."""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lhg_jax.util.errors import MissingExtraError, UserError

# Numbers from "MAT-File Level 5 File Format" (MathWorks), tables 1-1 and 1-3.
MATRIX, COMPRESSED = 14, 15
DATA_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18})
NUMERIC_CLASSES = frozenset(range(6, 16))  # double, single, integers of 8 to 64 bit
HEADER_SIZE = 128
INFLATED = 4096  # bytes of a compressed array that are looked at: all before its numbers is far shorter


def read_mat(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The numeric arrays of a file by name; cells, structures and texts are not read.

    Raises `UserError` for anything but a .mat file of version 4 to 7.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:  # pragma: no cover
        raise MissingExtraError("reading .mat files", "pipeline") from None
    try:
        contents = loadmat(path, appendmat=False, variable_names=_numeric(Path(path).read_bytes()))
    except (
        NotImplementedError,  # `loadmat`: version 7.3, which is HDF5
        MatReadError,  # `loadmat`: empty, or cut in its header
        OSError,  # streams: cut in an array
        zlib.error,  # streams: damaged in a compressed array
        struct.error,  # `_numeric`: cut in a tag
        ValueError,  # `loadmat`: another kind of file; arrays: sizes that do not agree
        TypeError,  # arrays: a tag of another type than must come there
        IndexError,  # `loadmat`: a header without bytes of a version
        MemoryError,  # arrays: a tag that claims more than there is room for
    ) as error:
        raise UserError(f"{path}: not a .mat file of version 7 or older") from error
    return {name: array for name, array in contents.items() if not name.startswith("__")}


def _numeric(data: bytes) -> list[str] | None:
    """Names of the numeric arrays of a level-5 file; None (all) for other files.

    Raises ValueError for a data type that is none: SciPy takes it for an index, and ends the process.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:HEADER_SIZE])
    if order is None or not any(data[:4]):
        return None
    names = []
    for kind, body in _elements(data[HEADER_SIZE:], order):
        if kind == COMPRESSED:
            inflated = zlib.decompressobj().decompress(body, INFLATED)
            kind, body = next(_elements(inflated, order), (0, b""))
        if kind != MATRIX:
            continue
        parts = list(_elements(body, order))
        if len(parts) < 4:
            raise ValueError("an array without numbers")
        (_, flags), _, (_, name) = parts[:3]
        if struct.unpack(order + "I", flags[:4])[0] & 0xFF in NUMERIC_CLASSES:
            names.append(name.decode("latin-1"))
    return names


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(data type, contents) of the elements that follow each other; of the last one as much as is there."""
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, position)
        start, padded = position + 8, -(-size // 8) * 8
        if kind >> 16:  # up to four bytes, within the tag itself
            kind, size, start, padded = kind & 0xFFFF, kind >> 16, position + 4, 4
        if kind not in DATA_TYPES:
            raise ValueError(f"data type {kind}")
        yield kind, data[start : start + size]
        position = start + (size if kind == COMPRESSED else padded)

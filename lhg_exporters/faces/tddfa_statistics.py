"""Mean and standard deviation of 3DDFA_V2's parameters, which its authors publish beside the weights.

The official file is a pickle of two arrays. Pickles can run code, so this one is read by an unpickler that
knows nothing but how NumPy makes arrays.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.faces.precomputed import read_arrays
from lhg_jax.util.errors import UserError

NAME = "param_mean_std_62d_120x120"
PARAMETERS = 62

Statistics = tuple[Float[np.ndarray, "62"], Float[np.ndarray, "62"]]


def read_statistics(folder: Path) -> Statistics:
    """Mean and standard deviation, float32, from NAME.npz in this folder, or from NAME.pkl.

    Raises `UserError` where there is neither, and for a file that is damaged, holds other values than 62
    finite ones each (deviations positive), or names anything but arrays.
    """
    readers = {folder / f"{NAME}.npz": read_arrays, folder / f"{NAME}.pkl": _read_pickle}
    path = next((path for path in readers if path.is_file()), None)
    if path is None:
        raise UserError(f"{folder / NAME}.pkl (or .npz): no such file; it must lie beside the checkpoint")
    table = readers[path](path)
    if not isinstance(table, dict):
        raise UserError(f"{path}: not the statistics of 3DDFA_V2 (no table of mean and std)")
    mean, std = (_vector(table.get(name), f"{path}: {name}") for name in ("mean", "std"))
    if not (std > 0).all():
        raise UserError(f"{path}: std: not all positive")
    return mean, std


def _vector(values: Any, what: str) -> Float[np.ndarray, "62"]:
    if not isinstance(values, np.ndarray) or values.shape != (PARAMETERS,) or values.dtype.kind != "f":
        raise UserError(f"{what}: not an array of {PARAMETERS} floating-point numbers")
    if not np.isfinite(values).all():
        raise UserError(f"{what}: not all finite")
    return values.astype(np.float32)


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise UserError(f"{path}: names {error}, and such files can run code: refused") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise UserError(f"{path}: not a pickle of arrays ({type(error).__name__})") from error


class _RefusedError(Exception):
    """A pickle names something that is no part of an array."""


_EMPTY = np.empty(0)
_KNOWN = {
    "multiarray._reconstruct": _EMPTY.__reduce__()[0],
    "numeric._frombuffer": _EMPTY.__reduce_ex__(5)[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays and plain containers, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """A part of NumPy's arrays; its core was called `numpy.core` before NumPy 2."""
        full = f"{module}.{name}"
        known = full.removeprefix("numpy.").removeprefix("core.").removeprefix("_core.")
        if not full.startswith("numpy.") or known not in _KNOWN:
            raise _RefusedError(full)
        return _KNOWN[known]

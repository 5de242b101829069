"""Coefficients that another program has measured: Deep3DFaceRecon's and ViCo's `.mat`, the same as `.npz`."""

import dataclasses
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.faces.mat_files import read_mat
from lhg_jax.motion import DEEP3D, DEEP3D_CROP, FRAME_RATE, Motion, load_motion
from lhg_jax.util.archives import require_unpackable
from lhg_jax.util.errors import UserError

# Columns of `coeff`, as Deep3DFaceRecon gives them: id 80, exp 64, tex 80, angle 3, gamma 27, trans 3.
COEFF_SIZE = 257
COEFF_PARTS = {"exp": slice(80, 144), "angle": slice(224, 227), "trans": slice(254, 257)}
# Columns of `transform_params`: W, H, scale, x, y of each frame's crop.
CROP_COLUMNS = slice(2, 5)
# Columns of ViCo's `angle.exp.trans`; the crop is there in spite of the name, but for some files of 70.
ROWS_TOLERANCE = 2  # rows that a file may have more or fewer than its video has frames
FPS_TOLERANCE = 0.1
VICO_KEY = "angle.exp.trans"
VICO_PARTS = {"angle": slice(0, 3), "exp": slice(3, 67), "trans": slice(67, 70), "crop": slice(70, 73)}


def read_coefficients(path: str | os.PathLike) -> Motion:
    """The motion in a file of coefficients, 30 frames/s, its columns in the order of our spaces.

    Read are: `coeff` [T, 257] with or without `transform_params` [T, 5] (Deep3DFaceRecon, PIRenderer, ViCo);
    `angle.exp.trans` [T, 73] or [T, 70] (ViCo's training files); both as `.mat` and as `.npz`; and the `.npz`
    of `save_motion`, in whatever space that says.

    Returns:
      In `DEEP3D_CROP` where the file holds the crops, else in `DEEP3D`.

    Raises:
      UserError: not there, another kind of file, other shapes, or values that are not finite.
    """
    arrays = read_arrays(path)
    return load_motion(path) if "values" in arrays else _motion(path, arrays)


def at_video_rate(path: str | os.PathLike, motion: Motion, frames: int, fps: float) -> Motion:
    """A motion that was read for a video, at 30 frames/s.

    Programs that measure coefficients leave a row for each frame of the video, whatever its rate; our own
    tracker's files have 30 rows a second.

    Args:
      path: of the motion, for the message.
      motion: of `read_coefficients`.
      frames, fps: number of frames of the video, and their rate.

    Raises:
      UserError: the rows are neither.
    """
    if abs(len(motion) - frames) <= ROWS_TOLERANCE:
        return motion if abs(fps - FRAME_RATE) <= FPS_TOLERANCE else _resampled(motion, fps)
    if abs(len(motion) - frames / fps * FRAME_RATE) <= ROWS_TOLERANCE:
        return motion
    raise UserError(f"{path}: {len(motion)} rows, but the video has {frames} frames")


def _resampled(motion: Motion, fps: float) -> Motion:
    original = dataclasses.replace(motion, fps=fps)
    count = max(1, round(len(motion) / fps * FRAME_RATE))
    times_s = (np.arange(count) + 0.5) / FRAME_RATE
    nearest = np.minimum((times_s * fps).astype(int), len(motion) - 1)
    return Motion(motion.space, original.at_times(times_s), FRAME_RATE, motion.seen[nearest])


def read_arrays(path: str | os.PathLike) -> Mapping[str, np.ndarray]:
    """What a `.mat` or `.npz` file holds. Raises `UserError` where it is not there or of another kind."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    readers = {".mat": read_mat, ".npz": _read_npz}
    if (suffix := Path(path).suffix.lower()) not in readers:
        raise UserError(f"{path}: coefficients are read from .mat or .npz")
    return readers[suffix](path)


def _motion(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> Motion:
    if "coeff" in arrays:
        coeff = float_rows(path, "coeff", arrays["coeff"], (COEFF_SIZE,))
        parts = {name: coeff[:, columns] for name, columns in COEFF_PARTS.items()}
        if "transform_params" in arrays:
            crops = float_rows(path, "transform_params", arrays["transform_params"], (5,))
            if len(crops) != len(coeff):
                raise UserError(f"{path}: {len(coeff)} rows of coeff, but {len(crops)} of transform_params")
            parts["crop"] = crops[:, CROP_COLUMNS]
    elif VICO_KEY in arrays:
        rows = float_rows(path, VICO_KEY, arrays[VICO_KEY], (70, 73))
        parts = {n: rows[:, columns] for n, columns in VICO_PARTS.items() if columns.stop <= rows.shape[1]}
    else:
        raise UserError(
            f"{path}: holds neither coeff nor {VICO_KEY} (it holds {', '.join(arrays) or 'nothing'})"
        )
    space = DEEP3D_CROP if "crop" in parts else DEEP3D
    values = np.concatenate([parts[part.name] for part in space.parts], axis=1)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: holds values that are not finite")
    return Motion(space, values)


def float_rows(
    path: str | os.PathLike, name: str, array: np.ndarray, widths: tuple[int, ...]
) -> Float[np.ndarray, "frames columns"]:
    """The array `name` of a file as float32. Raises `UserError` if it has no rows of one of these widths."""
    if array.ndim != 2 or array.shape[1] not in widths or not len(array) or array.dtype.kind != "f":
        expected = " or ".join(str(width) for width in widths)
        raise UserError(
            f"{path}: {name} is {array.dtype} {list(array.shape)}, not float [frames, {expected}]"
        )
    return array.astype(np.float32)


def _read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    require_unpackable(path)
    try:
        # `np.load` leaves a file that it cannot read open, unless it is given the open file.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (
        OSError,
        EOFError,  # `np.load`: empty; zipfile: cut in an array
        zipfile.BadZipFile,
        zlib.error,  # zipfile: damaged in a compressed array
        ValueError,  # `np.load`: a pickle, objects, or a damaged header
        TypeError,  # `with`: a single array (.npy) under this name
        MemoryError,  # `np.load`: a header that claims more than there is room for
        RuntimeError,  # zipfile: encrypted
        NotImplementedError,  # zipfile: a method of compression that it does not know
        SyntaxError,  # `np.load`: a header that is no Python literal
        tokenize.TokenError,  # `np.load`: the same, of the old version
        KeyError,  # zipfile: a name that its index does not have
    ) as error:
        raise UserError(f"{path}: not an .npz file of arrays") from error

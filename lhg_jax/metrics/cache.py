"""Results of single clips on disk, so that an interrupted evaluation goes on where it stopped."""

import dataclasses
import hashlib
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lhg_jax.metrics.clip import Measured, Settings
from lhg_jax.metrics.pairs import Pair
from lhg_jax.util.atomic import replacing

VERSION = 1  # of what is measured; a change makes old results unused


def fingerprint(pair: Pair, settings: Settings) -> str:
    """Changes whenever a file (size or time) or what is measured changes."""
    files = [pair.prediction, pair.reference, pair.speaker, settings.inception, settings.arcface]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) if path else None for path in files]
    text = json.dumps([VERSION, pair.name, stats, settings.track])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(folder: Path, name: str, mark: str, measured: Measured, metrics: Mapping[str, float]) -> None:
    """Writes NAME.npz, then NAME.json: what has a json is complete."""
    with replacing(folder / f"{name}.npz") as temporary:
        np.savez(temporary, allow_pickle=False, **measured.arrays)
    record = {"name": name, "fingerprint": mark, "metrics": metrics} | {
        field.name: getattr(measured, field.name)
        for field in dataclasses.fields(measured)
        if field.name != "arrays"
    }
    write_json(folder / f"{name}.json", record)


def load_record(folder: Path, name: str, mark: str) -> dict[str, Any] | None:
    """What `save` put into NAME.json, or None if there is nothing valid of this fingerprint."""
    try:
        record = json.loads((folder / f"{name}.json").read_text())
        with zipfile.ZipFile(folder / f"{name}.npz") as file:
            is_whole = bool(file.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    is_current = isinstance(record, dict) and record.get("fingerprint") == mark
    return record if is_current and is_whole else None


def load_array(folder: Path, name: str, key: str) -> np.ndarray | None:
    """One of a clip's arrays (`Measured.arrays`), or None if it was not measured."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        return file[key] if key in file.files else None


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; numbers that are not finite become null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(finite(value), indent=1, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """A copy of nested lists and dicts in which NaN and infinities are None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

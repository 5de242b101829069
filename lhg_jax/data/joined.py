"""Several folders of clips as one: a training set made of parts."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lhg_jax.contract import require_same
from lhg_jax.data.records import Metadata, RecordSource, open_source

SEPARATOR = ","


def open_sources(paths: str) -> RecordSource:
    """The clips of one folder, or of several with commas between them, one after the other.

    Raises `UserError` as `open_source` does, and where the folders' features are not the same.
    """
    return join([open_source(path) for path in paths.split(SEPARATOR)])


def join(sources: Sequence[RecordSource]) -> RecordSource:
    """All clips of sources whose features mean the same. Raises `UserError` naming two that differ."""
    first, *others = sources
    for other in others:
        require_same(first.folder, first.features, other.folder, other.features, "prepare both alike")
    if not others:
        return first
    parts = [source.metadata for source in sources]
    mean, std = _moments(parts)
    together = dataclasses.replace(
        parts[0],
        source=SEPARATOR.join(dict.fromkeys(part.source for part in parts)),
        frames=[n for part in parts for n in part.frames],
        uuids=[uuid for part in parts for uuid in part.uuids],
        keys=[key for part in parts for key in part.keys],
        shards=[str(Path(s.folder, name).absolute()) for s in sources for name in s.metadata.shards],
        mean=mean.tolist(),
        std=std.tolist(),
        features=first.features,
    )
    return RecordSource(SEPARATOR.join(source.folder for source in sources), together)


def _moments(parts: Sequence[Metadata]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each coefficient over all frames of all parts."""
    weights = np.array([sum(part.frames) for part in parts], float)
    weights /= weights.sum()
    means, stds = (np.array([getattr(part, name) for part in parts]) for name in ("mean", "std"))
    mean = weights @ means
    return mean, np.sqrt(np.maximum(weights @ (stds**2 + means**2) - mean**2, 0))

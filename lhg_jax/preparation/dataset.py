"""From clip files to a data set: shards, metadata, and the files that TFDS wants."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import FeatureSpec, require_same
from lhg_jax.data.records import (
    METADATA,
    Metadata,
    RecordSource,
    RunningStatistics,
    read_metadata,
    write_metadata,
    write_shard,
)
from lhg_jax.data.schema import ClipInfo, decode, decode_info, encode, feature_spec
from lhg_jax.face_model import ACTIONS
from lhg_jax.motion import LANDMARK, SPACES, CoefficientSpace
from lhg_jax.preparation.clip_jobs import Job, clip_path
from lhg_jax.preparation.tfds_files import shard_name, write_dataset_info
from lhg_jax.styles import action_amounts
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

CLIPS_PER_SHARD = 16
TRAINING = "train"


@dataclasses.dataclass
class SplitContents:
    """What went into the shards of one split.

    Attributes:
      infos, frames, keys: of each clip, in order.
      shards, lengths: file names, and how many clips each holds.
      speaker, listener: moments of their coefficients where they are seen.
      speaker_actions, listener_actions: likewise of `face_model.ACTIONS`; None in other spaces.
    """

    infos: list[ClipInfo]
    frames: list[int]
    keys: list[str]
    shards: list[str]
    lengths: list[int]
    speaker: RunningStatistics
    listener: RunningStatistics
    speaker_actions: RunningStatistics | None = None
    listener_actions: RunningStatistics | None = None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A folder of clips, finished.

    Attributes:
      folder, name: where, and its name for TFDS.
      splits: by name.
      metadata: of each split, as saved.
    """

    folder: Path
    name: str
    splits: dict[str, SplitContents]
    metadata: dict[str, Metadata]


def is_complete(folder: Path, jobs: Sequence[Job]) -> bool:
    """Whether the folder holds the clips of these jobs and no others, in this order."""
    wanted = {split: [job.key for job in some] for split, some in by_split(jobs).items()}
    return bool(jobs) and wanted == {split: metadata.keys for split, metadata in _current(folder).items()}


def require_same_origin(folder: Path, source: str, seed: int) -> None:
    """Raises `UserError` where the folder holds a data set that was made of something else."""
    for split, metadata in _present(folder).items():
        if (metadata.source, metadata.seed) != (source, seed):
            raise UserError(
                f"{folder}: holds clips of {metadata.source} (split {split}) with another source, --seed or "
                "--split (choose another --out)"
            )


def reuse_clips(folder: Path, jobs: Sequence[Job], clips: Path) -> None:
    """Takes finished clips out of the folder's present shards, so that they need not be made again.

    They are written anew: TFDS wants every text in every clip, and older clips lack the later ones.
    """
    wanted = {job.key for job in jobs}
    for metadata in _current(folder).values():
        source = RecordSource(folder, metadata)
        for number, key in enumerate(metadata.keys):
            if key in wanted and not clip_path(clips, key).exists():
                with replacing(clip_path(clips, key)) as temporary:
                    temporary.write_bytes(encode(source[number], source.info(number)))


def write_dataset(
    folder: Path, name: str, jobs: Sequence[Job], clips: Path, source: str, seed: int
) -> DataSet:
    """Writes the finished clips of `jobs`, in their order, in place of what the folder held before.

    Args:
      folder: of the data set.
      name: of the data set, for TFDS.
      jobs: all of them, run.
      clips: folder of the clip files.
      source, seed: see `records.Metadata`.

    Raises:
      UserError: none of the clips can be used, or their features do not mean the same.
    """
    done = [job for job in jobs if clip_path(clips, job.key).exists()]
    if not done:
        raise UserError(f"{folder}: no clip can be used (the report says why)")
    features = _common_features(done, clips)
    old = {shard for split in _present(folder).values() for shard in split.shards}
    (folder / METADATA).unlink(missing_ok=True)  # from here on the folder is unfinished
    splits = {
        split: _write_split(folder, name, split, some, clips, SPACES[features.space])
        for split, some in by_split(done).items()
    }
    for shard in old - {shard for split in splits.values() for shard in split.shards}:
        (folder / shard).unlink(missing_ok=True)
    metadata = _metadata(splits, source, seed, features)
    write_dataset_info(folder, name, {split: (metadata[split], splits[split].lengths) for split in splits})
    write_metadata(folder, metadata)
    return DataSet(folder, name, splits, metadata)


def by_split(jobs: Sequence[Job]) -> Mapping[str, list[Job]]:
    """Jobs in groups, both in order."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.split, []).append(job)
    return groups


def _present(folder: Path) -> Mapping[str, Metadata]:
    """The splits whose shards are all there."""
    splits = read_metadata(folder) if (folder / METADATA).is_file() else {}
    return {
        n: split for n, split in splits.items() if all((folder / shard).is_file() for shard in split.shards)
    }


def _current(folder: Path) -> Mapping[str, Metadata]:
    """Those of today's form: clips from before they kept their `FeatureSpec` are made again."""
    return {name: split for name, split in _present(folder).items() if split.features is not None}


def _common_features(jobs: Sequence[Job], clips: Path) -> FeatureSpec:
    """What the features of all clips mean; two that differ are named."""
    records = (clip_path(clips, job.key).read_bytes() for job in jobs)
    specs = ((info.uuid, spec) for info, spec in map(_info_and_features, records))
    first, common = next(specs)
    for uuid, spec in specs:
        require_same(f"clip {first}", common, f"clip {uuid}", spec, "prepare them into folders of their own")
    return common


def _info_and_features(record: bytes) -> tuple[ClipInfo, FeatureSpec]:
    info = decode_info(record, 0)
    return info, feature_spec(decode(record, 0), info)


def _write_split(
    folder: Path, name: str, split: str, jobs: Sequence[Job], clips: Path, space: CoefficientSpace
) -> SplitContents:
    groups = [jobs[first : first + CLIPS_PER_SHARD] for first in range(0, len(jobs), CLIPS_PER_SHARD)]
    shards = [shard_name(name, split, number, len(groups)) for number in range(len(groups))]
    for shard, group in zip(shards, groups, strict=True):
        write_shard(folder / shard, (clip_path(clips, job.key).read_bytes() for job in group))
    return _summarise(jobs, clips, shards, [len(group) for group in groups], space)


def _summarise(
    jobs: Sequence[Job], clips: Path, shards: list[str], lengths: list[int], space: CoefficientSpace
) -> SplitContents:
    """What the shards hold, read from the clips they were made of."""
    infos, frames = [], []
    speaker, listener = RunningStatistics.empty(space.size), RunningStatistics.empty(space.size)
    actions: tuple[RunningStatistics | None, ...] = (None, None)
    if space == LANDMARK:
        actions = tuple(RunningStatistics.empty(len(ACTIONS)) for _ in range(2))
    for job in jobs:
        record = clip_path(clips, job.key).read_bytes()
        example = decode(record, 0)
        features = example.features
        infos.append(decode_info(record, 0))
        frames.append(features.frames)
        seen = (
            features.speaker_motion[features.speaker_seen],
            example.listener_motion[example.listener_seen],
        )
        for values, moments, of_actions in zip(seen, (speaker, listener), actions, strict=True):
            moments.add(values)
            if of_actions:
                of_actions.add(_actions(values, space))
    keys = [job.key for job in jobs]
    return SplitContents(infos, frames, keys, shards, lengths, speaker, listener, *actions)


def _actions(
    values: Float[np.ndarray, "rows coeff"], space: CoefficientSpace
) -> Float[np.ndarray, "rows action"]:
    return np.stack(list(action_amounts(values[:, space.slice("exp")]).values()), axis=1)


def _metadata(
    splits: Mapping[str, SplitContents], source: str, seed: int, features: FeatureSpec
) -> dict[str, Metadata]:
    """Held-out clips stay out of the statistics where there are clips for training."""
    fitted = [splits[TRAINING]] if TRAINING in splits else list(splits.values())
    moments = RunningStatistics.empty(fitted[0].listener.total.size)
    for split in fitted:
        for some in (split.speaker, split.listener):
            moments.merge(some)
    return {
        name: Metadata(
            space=split.infos[0].space,
            source=source,
            seed=seed,
            frames=split.frames,
            uuids=[info.uuid for info in split.infos],
            keys=split.keys,
            shards=split.shards,
            mean=moments.mean.tolist(),
            std=moments.std.tolist(),
            features=features,
        )
        for name, split in splits.items()
    }

"""Prepared clips of random numbers, in a folder as `prepare` leaves it."""

import numpy as np
from training_toy import random_example

from lhg_jax.data import records
from lhg_jax.data.schema import ClipInfo, encode
from lhg_jax.motion import LANDMARK
from lhg_jax.preparation.tfds_files import shard_name


def write_split(folder, examples, split="train", name="a"):
    """One split in shards of two clips; returns its metadata."""
    folder.mkdir(exist_ok=True)
    groups = [range(first, min(first + 2, len(examples))) for first in range(0, len(examples), 2)]
    shards = [shard_name("test", split, number, len(groups)) for number in range(len(groups))]
    for shard, group in zip(shards, groups, strict=True):
        records.write_shard(folder / shard, (encode(examples[i], ClipInfo(f"{name}{i}")) for i in group))
    return records.Metadata(
        space="landmark",
        source="test",
        seed=-1,
        frames=[example.features.frames for example in examples],
        uuids=[f"{name}{i}" for i in range(len(examples))],
        keys=[f"{i}" for i in range(len(examples))],
        shards=shards,
        mean=[0.0] * LANDMARK.size,
        std=[1.0] * LANDMARK.size,
    )


def make_folder(folder, frames=(9, 12, 7)):
    """A folder of one split; returns the examples."""
    rng = np.random.default_rng(1)
    examples = [random_example(rng, count, index=i) for i, count in enumerate(frames)]
    records.write_metadata(folder, {"train": write_split(folder, examples)})
    return examples

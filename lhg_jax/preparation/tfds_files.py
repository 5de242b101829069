"""The files that make a folder of shards a TFDS dataset, written without TensorFlow.

Afterwards `tfds.builder_from_directory(FOLDER).as_data_source("train")` reads the very shards that training
reads; `builder.info.metadata` is the folder's metadata.json.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from lhg_jax.data.records import Metadata
from lhg_jax.data.schema import DTYPES, TEXTS, VECTORS
from lhg_jax.util.errors import MissingExtraError

VERSION = "1.0.0"
FILE_FORMAT = "array_record"
DESCRIPTION = (
    "Dyads of a speaker and a listener at 30 frames/s: what the listener hears and sees of the speaker "
    "(log-mel, MFCC, word vectors, motion coefficients) and the listener's own motion."
)


def shard_name(dataset: str, split: str, number: int, shards: int) -> str:
    """File name of one shard, as TFDS expects it."""
    return f"{dataset}-{split}.{FILE_FORMAT}-{number:05d}-of-{shards:05d}"


def clip_features() -> Any:
    """What TFDS must know to read `schema.encode`'s records: a `tfds.features.FeaturesDict`."""
    tfds = _tfds()
    tensors = {
        name: tfds.features.Tensor(
            shape=(None,) if name in VECTORS else (None, None), dtype=np.dtype(dtype), encoding="bytes"
        )
        for name, dtype in DTYPES.items()
    }
    return tfds.features.FeaturesDict(tensors | {name: tfds.features.Text() for name in TEXTS})


def write_dataset_info(
    folder: str | os.PathLike, dataset: str, splits: dict[str, tuple[Metadata, list[int]]]
):
    """Writes dataset_info.json and features.json.

    Args:
      folder: of the shards.
      dataset: its name, e.g. `vico`.
      splits: metadata of each split, and how many clips each of its shards holds.
    """
    tfds = _tfds()
    from tensorflow_datasets.core.dataset_info import DatasetIdentity
    from tensorflow_datasets.core.splits import SplitDict

    identity = DatasetIdentity(
        name=dataset, version=tfds.core.Version(VERSION), data_dir=str(folder), module_name=__name__
    )
    info = tfds.core.DatasetInfo(
        builder=identity, description=DESCRIPTION, features=clip_features(), disable_shuffling=True
    )
    info.set_file_format(FILE_FORMAT)
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=lengths,
            num_bytes=sum(Path(folder, shard).stat().st_size for shard in metadata.shards),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=Path(folder), dataset_name=dataset, split=split, filetype_suffix=FILE_FORMAT
            ),
        )
        for split, (metadata, lengths) in splits.items()
    ]
    info.set_splits(SplitDict(infos))
    info.write_to_directory(folder)


def _tfds():
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingExtraError("writing TFDS datasets", "train") from error
    return tfds

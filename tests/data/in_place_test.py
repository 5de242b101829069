"""Clips read in place are those that are decoded whole, whatever lies between their bytes."""

import pickle

import jax
import numpy as np
import pytest
from clip_folder import write_split
from training_toy import random_example

from lhg_jax.config import AugmentConfig, DataConfig
from lhg_jax.data.in_place import InPlaceSource, find_arrays
from lhg_jax.data.mapped import BLOCK, BLOCK_HEADER, CHUNK_HEADER, MappedShard, behind, boundary
from lhg_jax.data.pipeline import TrainStream
from lhg_jax.data.records import RecordSource, write_shard
from lhg_jax.data.schema import ClipInfo, encode


class Whole:
    """A source that is no `RecordSource`: its clips are decoded whole."""

    def __init__(self, source):
        self._source = source
        self.space, self.features = source.space, source.features

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._source[index]


def records_of(rng, sizes):
    return [rng.integers(0, 256, size, np.uint8).tobytes() for size in sizes]


@pytest.mark.parametrize("seed", range(4))
def test_any_part_of_any_record(tmp_path, seed):
    rng = np.random.default_rng(seed)
    ends = [BLOCK - BLOCK_HEADER - CHUNK_HEADER + shift for shift in (-30, 0, 30)]
    written = records_of(rng, [*rng.integers(1, 4 * BLOCK, 12), 1, *ends, 3 * BLOCK])
    write_shard(tmp_path / "shard", written)
    shard = MappedShard(tmp_path / "shard", len(written))
    for number, record in enumerate(written):
        assert shard.size(number) == len(record) and shard.read(number, 0, len(record)) == record
        for _ in range(10):
            start, size = (int(x) for x in rng.integers(0, len(record), 2))
            assert shard.read(number, start, size) == record[start : start + size]


def test_positions_are_those_of_the_format():
    """Counted byte by byte: headers stand at multiples of the block; none has a chunk's beginning in it."""
    rng = np.random.default_rng(0)
    for _ in range(12):
        start, size = int(rng.integers(0, 3 * BLOCK)), int(rng.integers(1, 2 * BLOCK))
        start = boundary(start)
        position = start
        for _ in range(size):
            position += BLOCK_HEADER if position % BLOCK == 0 else 0
            position += 1
        assert behind(start, size) == position
    inside = np.arange(BLOCK, BLOCK + BLOCK_HEADER + 2)
    assert [boundary(int(at)) - BLOCK for at in inside] == [0, *[BLOCK_HEADER + 1] * (BLOCK_HEADER + 1)]


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 20])
def test_other_files_are_not_taken_for_shards(tmp_path, damage):
    (tmp_path / "shard").write_bytes(damage)
    with pytest.raises(ValueError):
        MappedShard(tmp_path / "shard", 1)


def test_arrays_are_found_without_reading_them():
    example = random_example(np.random.default_rng(0), 40)
    record = encode(example, ClipInfo("clip ü", transcript='[{"word": "ü"}]' * 40))
    asked = []

    def read(start, size):
        asked.append(min(size, len(record) - start))
        return record[start : start + size]

    places = find_arrays(read)
    assert max(asked) <= 128 and np.array_equal(places[0, 1:], example.features.log_mel.shape)
    for broken in (record[40:], b"", bytes(300), record[:200]):
        with pytest.raises(ValueError):
            find_arrays(lambda start, size, broken=broken: broken[start : start + size])


def test_batches_are_those_of_clips_decoded_whole(tmp_path):
    rng = np.random.default_rng(1)
    examples = [random_example(rng, int(n), words=6) for n in rng.integers(30, 200, 9)]
    source = RecordSource(tmp_path, write_split(tmp_path, examples))
    data = DataConfig(train="", evaluation="", crop_frames=40, threads=2, workers=0)
    change = AugmentConfig(offset_frames=5)
    streams = [TrainStream(clips, data, change, batch_size=6, seed=3) for clips in (source, Whole(source))]
    for _ in range(5):
        jax.tree.map(np.testing.assert_array_equal, *map(next, streams))


def test_it_travels_and_leaves_damage_to_the_source(tmp_path):
    examples = [random_example(np.random.default_rng(n), 30) for n in range(3)]
    source = RecordSource(tmp_path, write_split(tmp_path, examples))
    clips = pickle.loads(pickle.dumps(InPlaceSource(source)))
    np.testing.assert_array_equal(clips[2].features.log_mel[3:9], source[2].features.log_mel[3:9])
    clips._mapped[0] = None
    assert isinstance(clips[1].features.log_mel, np.ndarray), "read whole"

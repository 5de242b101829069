import dataclasses
import json

import numpy as np
import pytest
from training_toy import random_example

from lhg_jax.data import records
from lhg_jax.data.schema import FIELDS, decode, decode_uuid, encode
from lhg_jax.errors import UserError
from lhg_jax.motion import LANDMARK


def make_folder(folder, frames=(9, 12, 7), name="a"):
    """Two shards; returns the examples."""
    rng = np.random.default_rng(1)
    examples = [random_example(rng, count, index=i) for i, count in enumerate(frames)]
    folder.mkdir(exist_ok=True)
    pairs = [(f"{name}{i}", example) for i, example in enumerate(examples)]
    records.write_shard(folder / "x.array_record", pairs[:2])
    records.write_shard(folder / "y.array_record", pairs[2:])
    metadata = records.describe_shards(
        folder, ["x.array_record", "y.array_record"], space=LANDMARK, source="test", seed=-1
    )
    records.write_metadata(folder, metadata)
    return examples


def test_record_round_trip():
    example = random_example(np.random.default_rng(0), 11)
    record = encode(example, "clip ü")
    back = decode(record, 5)
    assert decode_uuid(record, 5) == "clip ü"
    assert back.index == 5
    np.testing.assert_array_equal(back.target, example.target)
    for name in FIELDS:
        value, expected = getattr(back.features, name), getattr(example.features, name)
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape), name
        exact = name not in ("log_mel", "mfcc", "word_table")
        np.testing.assert_allclose(value, expected, rtol=0 if exact else 1e-3, atol=0 if exact else 1e-3)


@pytest.mark.parametrize("cut", [3, 40, -1])
def test_damaged_record_is_named(cut):
    record = encode(random_example(np.random.default_rng(0), 4), "a")
    with pytest.raises(UserError, match="record 7 is damaged"):
        decode(record[:cut], 7)


def test_foreign_record_is_refused():
    from safetensors.numpy import save

    with pytest.raises(UserError, match=r"record 0 holds \['a'\]"):
        decode(save({"a": np.zeros(3)}), 0)


def test_folder_round_trip(tmp_path):
    examples = make_folder(tmp_path)
    source = records.open_source(tmp_path)
    assert len(source) == 3
    assert source.space == LANDMARK
    assert source.metadata.uuids == ["a0", "a1", "a2"]
    assert source.metadata.frames == [9, 12, 7]
    for i, example in enumerate(examples):
        np.testing.assert_array_equal(source[i].target, example.target)
        assert source[i].index == i
    values = np.concatenate([rows for e in examples for rows in (e.target, e.features.motion)])
    np.testing.assert_allclose(source.metadata.mean, values.mean(0), atol=1e-6)
    np.testing.assert_allclose(source.metadata.std, values.std(0), rtol=1e-4)


def test_statistics_leave_out_what_is_not_valid(tmp_path):
    example = random_example(np.random.default_rng(1), 6)
    features = example.features
    features.valid[4:] = False
    features.motion[4:] = 1e6
    example.target[4:] = 1e6
    records.write_shard(tmp_path / "x", [("a", example)])
    metadata = records.describe_shards(tmp_path, ["x"], space=LANDMARK, source="test", seed=-1)
    assert max(metadata.std) < 1


def test_missing_unfinished_and_foreign_folders(tmp_path):
    with pytest.raises(UserError, match=r"no prepared clips here \(write them with"):
        records.open_source(tmp_path / "nothing")
    make_folder(tmp_path)
    (tmp_path / "y.array_record").unlink()
    with pytest.raises(UserError, match=r"y.array_record: shard is missing"):
        records.open_source(tmp_path)
    (tmp_path / "metadata.json").write_text("{")
    with pytest.raises(UserError, match=r"metadata.json: cannot be read"):
        records.open_source(tmp_path)


def test_metadata_of_other_length_is_refused(tmp_path):
    make_folder(tmp_path)
    metadata = dataclasses.asdict(records.read_metadata(tmp_path))
    metadata["uuids"].append("b")
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=r"3 clips, but metadata.json lists 4"):
        records.open_source(tmp_path)


def test_failed_shard_leaves_nothing(tmp_path):
    def clips():
        yield "a", random_example(np.random.default_rng(0), 4)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        records.write_shard(tmp_path / "x", clips())
    assert list(tmp_path.iterdir()) == []

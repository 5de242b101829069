import dataclasses
import json

import jax
import numpy as np
import pytest
from clip_folder import make_folder, write_split
from training_toy import random_example

from lhg_jax.contract import style_vector
from lhg_jax.data import records
from lhg_jax.data.schema import DTYPES, OF_EXAMPLE, ClipInfo, decode, decode_info, encode, stack
from lhg_jax.motion import LANDMARK
from lhg_jax.preparation.tfds_files import shard_name
from lhg_jax.util.errors import UserError


def test_record_round_trip():
    example = random_example(np.random.default_rng(0), 11)
    info = ClipInfo("clip ü", "v", "3", "4", "positive", "landmark", "tracked", '[{"word": "ü"}]', "a\nb")
    record = encode(example, info)
    stored = decode(record, 5)
    assert decode_info(record, 5) == info
    assert stored.index == 5
    for name in DTYPES:
        value, expected = (
            getattr(clip if name in OF_EXAMPLE else clip.features, name) for clip in (stored, example)
        )
        is_half = name in ("log_mel", "mfcc", "word_table")
        assert value.shape == expected.shape, name
        assert value.dtype == (np.float16 if is_half else expected.dtype), name
        tolerance = 1e-3 if is_half else 0
        np.testing.assert_allclose(value.astype(expected.dtype), expected, rtol=tolerance, atol=tolerance)


def test_equal_clips_are_equal_bytes():
    """Protocol buffers promise no order of a map's keys, unless asked to."""
    rng = np.random.default_rng(0)
    example = random_example(rng, 6)
    assert encode(example, ClipInfo("a")) == encode(example, ClipInfo("a"))


@pytest.mark.parametrize("cut", [3, 40, -1])
def test_damaged_record_is_named(cut):
    record = encode(random_example(np.random.default_rng(0), 4), ClipInfo("a"))
    with pytest.raises(UserError, match="record 7"):
        decode(record[:cut], 7)


def test_foreign_record_is_refused():
    from tensorflow_datasets.proto import tf_example_pb2

    foreign = tf_example_pb2.Example()
    foreign.features.feature["a"].int64_list.value.append(3)
    with pytest.raises(UserError, match=r"record 0 holds \['a'\]: not a clip"):
        decode(foreign.SerializeToString(), 0)


def test_folder_round_trip(tmp_path):
    examples = make_folder(tmp_path)
    source = records.open_source(tmp_path)
    assert len(source) == 3
    assert source.space == LANDMARK
    assert source.metadata.uuids == ["a0", "a1", "a2"]
    assert source.metadata.frames == [9, 12, 7]
    for i, example in enumerate(examples):
        np.testing.assert_array_equal(source[i].listener_motion, example.listener_motion)
        assert source[i].index == i
        assert source.info(i).uuid == f"a{i}"


def test_a_split_of_several_is_chosen_by_name(tmp_path):
    rng = np.random.default_rng(2)
    examples = [random_example(rng, count) for count in (5, 8, 6)]
    splits = {s: write_split(tmp_path / "new", examples, s, s) for s in ("train", "ood")}
    records.write_metadata(tmp_path / "new", splits)
    assert records.open_source(tmp_path / "new" / "ood").metadata.uuids == ["ood0", "ood1", "ood2"]
    with pytest.raises(UserError, match=r"several splits \(name one: .*new/train, .*new/ood\)"):
        records.open_source(tmp_path / "new")
    with pytest.raises(UserError, match=r"no split 'test'"):
        records.open_source(tmp_path / "new" / "test")


def test_moments_of_rows_in_any_pieces():
    rows = np.random.default_rng(3).normal(3, 2, (50, 4)).astype(np.float32)
    whole, other = records.RunningStatistics.empty(4), records.RunningStatistics.empty(4)
    whole.add(rows[:13])
    other.add(rows[13:])
    whole.merge(other)
    np.testing.assert_allclose(whole.mean, rows.mean(0, dtype=np.float64))
    np.testing.assert_allclose(whole.std, rows.std(0, dtype=np.float64))


def test_missing_unfinished_and_foreign_folders(tmp_path):
    with pytest.raises(UserError, match=r"no prepared clips here \(write them with"):
        records.open_source(tmp_path / "nothing")
    make_folder(tmp_path)
    (tmp_path / shard_name("test", "train", 1, 2)).unlink()
    with pytest.raises(UserError, match=r"00001-of-00002: shard is missing"):
        records.open_source(tmp_path)
    (tmp_path / "metadata.json").write_text("{")
    with pytest.raises(UserError, match=r"metadata.json: cannot be read"):
        records.open_source(tmp_path)


def test_metadata_of_other_length_is_refused(tmp_path):
    make_folder(tmp_path)
    metadata = records.read_metadata(tmp_path)["train"]
    longer = dataclasses.replace(metadata, uuids=[*metadata.uuids, "b"])
    records.write_metadata(tmp_path, {"train": longer})
    with pytest.raises(UserError, match="frames, uuids and keys are not of one length"):
        records.open_source(tmp_path)
    longer = dataclasses.replace(longer, frames=[*metadata.frames, 3], keys=[*metadata.keys, "x"])
    records.write_metadata(tmp_path, {"train": longer})
    with pytest.raises(UserError, match=r"3 clips, but metadata.json lists 4"):
        records.open_source(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": ["9", "12", "7"]}, {"uuids": "abc"}, {"shards": [1]}, {"shards": ["../x"]},
        {"mean": [0.0]},
        {"std": None}, {"keys": {}}, {"features": 3}, {"space": "moon"},
    ],
)  # fmt: skip
def test_metadata_that_nobody_wrote_is_named(tmp_path, change):
    make_folder(tmp_path)
    contents = json.loads((tmp_path / "metadata.json").read_text())
    contents["train"] |= change
    (tmp_path / "metadata.json").write_text(json.dumps(contents))
    with pytest.raises(UserError, match=str(tmp_path)):
        records.open_source(tmp_path)


def test_damaged_shards_are_named(tmp_path):
    """Whatever is flipped in a shard: the clip is read, or the error names the folder."""
    make_folder(tmp_path)
    path, rng, errors = tmp_path / shard_name("test", "train", 0, 2), np.random.default_rng(0), 0
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(30):
        damaged = whole.copy()
        damaged[rng.integers(len(whole), size=3)] ^= np.uint8(1 << rng.integers(8))
        path.write_bytes(damaged.tobytes())
        try:
            source = records.open_source(tmp_path)
            for index in range(len(source)):
                source[index], source.info(index)
        except UserError as error:
            errors += 1
            assert str(error).startswith(str(tmp_path)) and "\n" not in str(error)
    assert errors > 3


def test_arrays_of_unequal_length_are_damage():
    example = random_example(np.random.default_rng(0), 6)
    shorter = example.replace(listener_seen=example.listener_seen[:4])
    with pytest.raises(UserError, match="record 2 is damaged: listener_seen has 4 rows for 6 frames"):
        decode(encode(shorter, ClipInfo("a")), 2)
    words = np.full(6, len(example.features.word_table), np.int32)
    beyond = example.replace(features=example.features.replace(word_index=words))
    with pytest.raises(UserError, match="words are not in their table"):
        decode(encode(beyond, ClipInfo("a")), 2)


def test_failed_shard_leaves_nothing(tmp_path):
    def clips():
        yield b"a record"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        records.write_shard(tmp_path / "x", clips())
    assert list(tmp_path.iterdir()) == []


def test_clips_without_the_later_texts_still_open():
    from tensorflow_datasets.proto import tf_example_pb2

    example = random_example(np.random.default_rng(0), 11)
    record = tf_example_pb2.Example.FromString(encode(example, ClipInfo("a", gestures="[]")))
    del record.features.feature["gestures"]
    older = record.SerializeToString()
    assert decode_info(older, 0) == ClipInfo("a")
    np.testing.assert_array_equal(decode(older, 0).listener_motion, example.listener_motion)


def old_record(example, seen: np.ndarray, has_motion: bool) -> bytes:
    """A clip as it was written when one mask, `valid`, stood for three."""
    from tensorflow_datasets.proto import tf_example_pb2

    features = example.features
    arrays = {
        "log_mel": features.log_mel.astype(np.float16),
        "mfcc": features.mfcc.astype(np.float16),
        "word_table": features.word_table.astype(np.float16),
        "motion": features.speaker_motion,
        "target": example.listener_motion,
    }
    record = tf_example_pb2.Example()
    feature = record.features.feature
    for name, array in arrays.items():
        feature[f"{name}/value"].bytes_list.value.append(array.tobytes())
        feature[f"{name}/shape"].int64_list.value.extend(array.shape)
    for name, array in {
        "word_of_frame": features.word_index,
        "valid": seen,
        "has_motion": np.array(has_motion),
    }.items():
        feature[name].bytes_list.value.append(array.tobytes())
    for field in dataclasses.fields(ClipInfo):
        if field.name not in ("features", "gestures"):
            feature[field.name].bytes_list.value.append(b"a")
    return record.SerializeToString()


@pytest.mark.parametrize("has_motion", [True, False])
def test_clips_of_old_folders_still_open(has_motion):
    example = random_example(np.random.default_rng(0), 11)
    seen = np.arange(11) != 4
    stored = decode(old_record(example, seen, has_motion), 2)
    np.testing.assert_array_equal(stored.listener_motion, example.listener_motion)
    np.testing.assert_array_equal(stored.listener_seen, seen)
    np.testing.assert_array_equal(stored.features.speaker_motion, example.features.speaker_motion)
    np.testing.assert_array_equal(stored.features.word_index, example.features.word_index)
    assert (stored.features.speaker_seen == has_motion).all() and stored.features.in_clip.all()
    np.testing.assert_array_equal(stored.style, style_vector())


def test_a_batch_of_examples_one_after_the_other():
    examples = [random_example(np.random.default_rng(n), 8, index=n) for n in range(4)]
    batch = stack(iter(examples), 3)  # the fourth is not asked for
    jax.tree.map(
        lambda rows, *each: np.testing.assert_array_equal(rows, np.stack(each)), batch, *examples[:3]
    )
    assert batch.index.dtype == np.int32 and batch.listener_seen.dtype == bool
    with pytest.raises(ValueError, match="4 examples for a batch of 5"):
        stack(examples, 5)
    with pytest.raises(ValueError, match="0 examples for a batch of 0"):
        stack([], 0)
    longer = random_example(np.random.default_rng(9), 9)
    with pytest.raises(ValueError, match=r"example 1: an array of \(\d+, \d+\) for a batch of"):
        stack([examples[0], longer], 2)

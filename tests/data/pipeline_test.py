import dataclasses
import itertools

import jax
import numpy as np
import pytest
from training_toy import random_example

from lhg_jax.config import AugmentConfig, DataConfig
from lhg_jax.contract import FeatureSpec, word_capacity
from lhg_jax.data import augment as augmentation
from lhg_jax.data.pipeline import TrainStream, crop, eval_batches, random_crop
from lhg_jax.face_model import mirror
from lhg_jax.features import mel_steps
from lhg_jax.motion import LANDMARK, TDDFA
from lhg_jax.util.errors import UserError

NO_CHANGE = AugmentConfig(0.0, 0.0, 0.0, 0, 0, 0, 0, 0.0, 0.0)
CROP = 10


class MemorySource:
    """Clips of different lengths, none shorter than a crop."""

    space = LANDMARK
    features = FeatureSpec()

    def __init__(self, count=10, frames=14):
        rng = np.random.default_rng(0)
        self.clips = [random_example(rng, frames + i, words=5, index=i) for i in range(count)]

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[int(index)]


class EmptySource(MemorySource):
    def __init__(self):
        self.clips = []


def stream(source=None, *, threads=1, workers=0, augment=None, **kwargs):
    data = DataConfig(train="", evaluation="", crop_frames=CROP, threads=threads, workers=workers)
    options = {"batch_size": 4, "seed": 0} | kwargs
    return TrainStream(
        MemorySource() if source is None else source, data, augment or AugmentConfig(), **options
    )


def take(batches, count):
    return list(itertools.islice(batches, count))


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_every_clip_once_an_epoch_in_changing_order():
    indices = np.concatenate([batch.index for batch in take(stream(), 10)])
    epochs = indices.reshape(4, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    other = np.concatenate([batch.index for batch in take(stream(seed=1), 10)])
    assert not np.array_equal(indices, other)


def test_batches_do_not_depend_on_threads():
    assert_equal(take(stream(), 5), take(stream(threads=4), 5))


@pytest.mark.slow
def test_batches_do_not_depend_on_workers():
    assert_equal(take(stream(), 5), take(stream(workers=2), 5))


@pytest.mark.slow
def test_restored_with_another_number_of_workers():
    original = stream(workers=2)
    take(original, 3)
    state = original.get_state()
    expected = take(original, 4)
    for workers in (0, 1):
        restored = stream(workers=workers)
        restored.set_state(state)
        assert_equal(take(restored, 4), expected)


def test_restored_stream_goes_on_with_the_same_batches():
    original = stream()
    take(original, 3)
    state = original.get_state()
    expected = take(original, 4)
    restored = stream(threads=3)
    restored.set_state(state)
    assert_equal(take(restored, 4), expected)


def test_processes_share_each_batch_without_loss_or_repeat():
    one = take(stream(), 5)
    parts = [take(stream(process=p, processes=2), 5) for p in range(2)]
    for whole, first, second in zip(one, *parts, strict=True):
        assert_equal(jax.tree.map(lambda *parts: np.concatenate(parts), first, second), whole)


def test_one_two_one_processes_lose_nothing():
    indices = []
    place = {"next_batch": 0}
    for processes in (1, 2, 1):
        streams = [stream(process=p, processes=processes) for p in range(processes)]
        for each in streams:
            each.set_state(place)
            indices += [batch.index for batch in take(each, 5)]
        place = streams[0].get_state()
    counts = np.bincount(np.concatenate(indices))
    assert counts.tolist() == [6] * 10  # 15 batches of 4 are 6 epochs


def test_batch_shapes():
    batch = next(stream())
    assert batch.listener_motion.shape == (4, CROP, 70)
    assert batch.features.log_mel.shape == (4, mel_steps(CROP), 128)
    assert batch.features.word_table.shape == (4, word_capacity(CROP) + 1, 6)
    assert batch.features.in_clip.all()


def test_crop_keeps_sound_words_and_motion_together():
    example = MemorySource().clips[9]
    start = 7
    cut = crop(example, start, CROP)
    features, whole = cut.features, example.features
    np.testing.assert_array_equal(cut.listener_motion, example.listener_motion[start : start + CROP])
    np.testing.assert_array_equal(features.log_mel, whole.log_mel[2 * start : 2 * start + mel_steps(CROP)])
    words = features.word_table[features.word_index]
    np.testing.assert_array_equal(words, whole.word_table[whole.word_index[start : start + CROP]])


def test_random_crops_start_wherever_the_listener_is_seen():
    """Their first frame is the reference: in a gap it would be a value that nobody measured."""
    example = MemorySource().clips[0]
    rng = np.random.default_rng(0)
    firsts = {float(random_crop(example, CROP, rng).listener_motion[0, 0]) for _ in range(60)}
    starts = np.arange(14 - CROP + 1)
    seen = example.listener_seen[starts]
    assert not seen.all()
    assert firsts == {float(value) for value in example.listener_motion[starts[seen], 0]}


def test_crops_are_started_where_no_frame_is_seen_too():
    example = MemorySource().clips[0]
    lost = example.replace(listener_seen=np.zeros(14, bool))
    assert not random_crop(lost, CROP, np.random.default_rng(0)).listener_seen.any()
    assert crop(lost, 2, CROP).features.in_clip.all()


def test_a_stream_starts_no_iterator_before_its_place_is_known(monkeypatch):
    started, batch = [], next(stream())
    monkeypatch.setattr(TrainStream, "_start", lambda self, first: started.append(first) or iter([batch]))
    one = stream()
    one.set_state({"next_batch": 3})
    next(one)
    assert started == [3]


def test_crops_of_half_precision_are_single():
    example = MemorySource().clips[0]
    halves = {name: getattr(example.features, name).astype(np.float16) for name in ("log_mel", "word_table")}
    cut = crop(dataclasses.replace(example, features=example.features.replace(**halves)), 3, CROP)
    assert cut.features.log_mel.dtype == cut.features.word_table.dtype == np.float32
    np.testing.assert_array_equal(cut.features.log_mel, halves["log_mel"][6 : 6 + mel_steps(CROP)])


def test_offset_moves_sound_and_words_against_both_motions():
    example = random_example(np.random.default_rng(3), 40, words=9)
    moved = set()
    for seed in range(30):
        cut = random_crop(example, CROP, np.random.default_rng(seed), offset_frames=2)
        start = int(np.flatnonzero(example.listener_motion[:, 0] == cut.listener_motion[0, 0])[0])
        shown = example.features.speaker_motion[start : start + CROP]
        np.testing.assert_array_equal(cut.features.speaker_motion, shown)
        heard = int(np.flatnonzero(example.features.mfcc[:, 0] == cut.features.mfcc[0, 0])[0])
        mel = example.features.log_mel[2 * heard : 2 * heard + mel_steps(CROP)]
        np.testing.assert_array_equal(cut.features.log_mel, mel)
        moved.add(heard - start)
    assert moved == {-2, -1, 0, 1, 2}


def test_features_that_do_not_follow_the_log_mel_cannot_be_augmented():
    source = MemorySource()
    silent = [np.zeros((clip.features.frames, 45), np.float32) for clip in source.clips]
    source.clips = [
        dataclasses.replace(clip, features=clip.features.replace(mfcc=mfcc))
        for clip, mfcc in zip(source.clips, silent, strict=True)
    ]
    with pytest.raises(UserError, match=r"augment.gain_db, .* must be 0: .* \(--audio vico_compat\)"):
        stream(source)
    assert next(stream(source, augment=NO_CHANGE)).features.mfcc.shape[-1] == 45


def test_noise_has_its_size_and_differs_between_crops():
    log_mel = np.full((mel_steps(CROP), 128), -40, np.float32)
    config = dataclasses.replace(NO_CHANGE, noise_db=3.0)
    noise = [augmentation.augment_log_mel(log_mel, config, np.random.default_rng(i)) + 40 for i in range(300)]
    assert np.std(noise) == pytest.approx(3 / np.sqrt(3), rel=0.1)  # mean square of uniform [0, 3]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


def test_short_clip_is_padded():
    cut = random_crop(random_example(np.random.default_rng(0), 6), CROP, np.random.default_rng(0))
    assert cut.features.in_clip.tolist() == [True] * 6 + [False] * 4
    assert not cut.listener_motion[6:].any()


def test_no_augmentation_changes_nothing():
    example = crop(MemorySource().clips[0], 0, CROP)
    assert_equal(augmentation.augment(example, NO_CHANGE, np.random.default_rng(0)), example)


def test_mirror_flips_both_people_and_keeps_the_sound():
    example = crop(MemorySource().clips[0], 0, CROP)
    config = AugmentConfig(1.0, 0.0, 0.0, 0, 0, 0, 0, 0.0, 0.0)
    changed = augmentation.augment(example, config, np.random.default_rng(0))
    np.testing.assert_array_equal(changed.listener_motion, mirror(example.listener_motion))
    np.testing.assert_array_equal(changed.features.speaker_motion, mirror(example.features.speaker_motion))
    np.testing.assert_array_equal(changed.features.log_mel, example.features.log_mel)
    assert not np.array_equal(changed.listener_motion, example.listener_motion)


def test_tracking_noise_is_single_precision():
    config = dataclasses.replace(NO_CHANGE, tracking_exp=0.1, tracking_deg=1.0, tracking_trans=0.1)
    motion = np.zeros((20, LANDMARK.size), np.float32)
    noisy = augmentation.add_tracking_noise(motion, config, np.random.default_rng(0))
    assert noisy.dtype == np.float32 and noisy.any()


def test_dropped_speaker_and_words():
    example = crop(MemorySource().clips[0], 0, CROP)
    config = AugmentConfig(0.0, 0.0, 0.0, 0, 0, 0, 0, 1.0, 1.0)
    features = augmentation.augment(example, config, np.random.default_rng(0)).features
    assert not features.speaker_seen.any()
    assert not features.speaker_motion.any()
    assert not features.word_index.any()
    assert not features.word_table.any()


def test_tracking_noise_is_on_the_speaker_only_and_within_its_size():
    example = crop(MemorySource().clips[0], 0, CROP)
    config = dataclasses.replace(NO_CHANGE, tracking_exp=0.02, tracking_deg=1.0, tracking_trans=0.04)
    noise = [
        augmentation.augment(example, config, np.random.default_rng(seed)).features.speaker_motion
        - example.features.speaker_motion
        for seed in range(200)
    ]
    sizes = {"exp": 0.02, "angle": np.deg2rad(1.0), "trans": 0.04}
    for part, size in sizes.items():
        spread = np.stack(noise)[..., LANDMARK.slice(part)].std()
        # A strength uniform in [0, 1] has mean square 1/3; trembling adds 1 and the walk 1/2 on average.
        assert spread == pytest.approx(size * np.sqrt(1.5 / 3), rel=0.15)
    changed = augmentation.augment(example, config, np.random.default_rng(0))
    np.testing.assert_array_equal(changed.listener_motion, example.listener_motion)
    np.testing.assert_array_equal(changed.features.log_mel, example.features.log_mel)


def test_augmented_sound_stays_in_range_and_mfcc_follow():
    example = crop(MemorySource().clips[0], 0, CROP)
    config = AugmentConfig(0.0, 5.0, 1.0, 1, 4, 1, 10, 0.0, 0.0)
    features = augmentation.augment(example, config, np.random.default_rng(0)).features
    assert features.log_mel.dtype == np.float32
    assert features.mfcc.dtype == np.float32
    assert features.log_mel.min() >= -80
    assert not np.array_equal(features.log_mel, example.features.log_mel)
    louder = augmentation.change_sound(example.features, example.features.log_mel + np.float32(2))
    moved = louder.mfcc - example.features.mfcc
    np.testing.assert_allclose(
        moved[:, 0], 2 * np.sqrt(128), rtol=1e-4
    )  # orthonormal transform of a constant
    np.testing.assert_allclose(moved[:, 1:], 0, atol=1e-3)


def test_silence_stays_silent():
    silence = np.full((mel_steps(CROP), 128), -80, np.float32)
    config = AugmentConfig(0.0, 6.0, 3.0, 0, 0, 0, 0, 0.0, 0.0)
    np.testing.assert_array_equal(
        augmentation.augment_log_mel(silence, config, np.random.default_rng(0)), silence
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_sees_every_clip_once(processes):
    source = MemorySource(count=10)
    parts = [
        list(eval_batches(source, 16, batch_size=4, process=p, processes=processes)) for p in range(processes)
    ]
    assert [len(part) for part in parts] == [3] * processes
    batches = [batch for part in parts for batch in part]
    indices = np.concatenate([batch.index for batch in batches])
    assert sorted(indices.tolist()) == [-1, -1, *range(10)]
    valid = np.concatenate([batch.features.in_clip for batch in batches])
    for index, row in zip(indices, valid, strict=True):
        assert row.sum() == (0 if index < 0 else min(14 + index, 16))


def test_evaluation_crops_come_from_the_middle():
    source = MemorySource(count=4)
    for i, clip in enumerate(source.clips):
        clip.listener_seen[:] = np.arange(14 + i) >= (4 if i == 1 else 0)
    batch = next(eval_batches(source, CROP, batch_size=4))
    for i, (row, clip) in enumerate(zip(batch.listener_motion, source.clips, strict=True)):
        start = 4 if i == 1 else (len(clip.listener_motion) - CROP) // 2  # 4: there the listener is found
        expected = clip.listener_motion[start : start + CROP]
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert batch.listener_seen[i, 0]


def test_settings_that_cannot_work():
    with pytest.raises(UserError, match="eval_batch_size=4 does not divide by 3 processes"):
        next(eval_batches(MemorySource(), CROP, batch_size=4, processes=3))
    with pytest.raises(UserError, match="batch_size=4 does not divide by 3 processes"):
        stream(processes=3)
    with pytest.raises(UserError, match="no clips"):
        stream(EmptySource())
    source = MemorySource()
    source.space = TDDFA
    with pytest.raises(UserError, match=r"augment.mirror must be 0: .* space 'tddfa'"):
        stream(source)


def test_augmented_sound_of_causal_clips_keeps_to_the_past():
    """A change of the log-mel moves the MFCC of its own frame and of the eight after it."""
    features = MemorySource(1, 30)[0].features
    changed = features.log_mel.copy()
    changed[2 * 15 + 1] += 7
    for causal, frames in ((True, range(15, 24)), (False, range(11, 20))):
        moved = augmentation.change_sound(features, changed, causal).mfcc - features.mfcc
        np.testing.assert_array_equal(np.flatnonzero(np.abs(moved).max(axis=1) > 1e-3), frames)

import numpy as np
import pytest

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.features import crop_features, encoder_frames, mel_steps, pad_features, single


def random_clip(frames: int, words: int, seed: int = 0) -> SpeakerFeatures:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(words + 1, 8)).astype(np.float32)
    table[0] = 0
    return SpeakerFeatures(
        log_mel=rng.normal(size=(mel_steps(frames), 128)).astype(np.float32),
        mfcc=rng.normal(size=(frames, 39)).astype(np.float32),
        word_table=table,
        word_index=np.sort(rng.integers(0, words + 1, frames)).astype(np.int32),
        speaker_motion=rng.normal(size=(frames, 70)).astype(np.float32),
        speaker_seen=np.ones(frames, bool),
        in_clip=np.ones(frames, bool),
    )


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 34, 90, 91])
def test_encoder_frames_is_the_least_length_with_remainder_two(frames):
    padded = encoder_frames(frames)
    assert padded >= frames and padded % 4 == 2 and padded - frames < 4


def test_crop_keeps_each_frames_word_and_sound():
    clip = random_clip(200, 40)
    crop = crop_features(clip, 50, 90, 40)
    words_before = clip.word_table[clip.word_index[50:140]]
    np.testing.assert_array_equal(crop.word_table[crop.word_index], words_before)
    np.testing.assert_array_equal(crop.log_mel, clip.log_mel[100 : 100 + mel_steps(90)])
    np.testing.assert_array_equal(crop.speaker_motion, clip.speaker_motion[50:140])
    assert crop.word_table.shape[0] == 41


def test_crop_past_the_end_is_padded_and_marked():
    clip = random_clip(100, 10)
    crop = crop_features(clip, 60, 90, 12)
    assert crop.in_clip.sum() == 40 and crop.in_clip[:40].all()
    assert (crop.log_mel[mel_steps(40) :] == -80).all()
    assert not crop.mfcc[40:].any() and not crop.word_index[40:].any()


def test_crop_with_too_many_words_drops_the_last_ones():
    clip = random_clip(100, 30)
    crop = crop_features(clip, 0, 100, 5)
    spoken = np.unique(clip.word_index[clip.word_index > 0])[:5]
    kept = np.isin(clip.word_index, spoken)
    np.testing.assert_array_equal(crop.word_index > 0, kept)


def test_pad_refuses_to_cut():
    with pytest.raises(ValueError, match="cannot pad 126 rows to 102"):
        pad_features(random_clip(60, 3), 50, 4)


def test_half_precision_becomes_single_exactly():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    for values in (finite, every):
        np.testing.assert_array_equal(
            single(values).view(np.uint32), values.astype(np.float32).view(np.uint32)
        )

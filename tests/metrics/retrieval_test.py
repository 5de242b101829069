import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.contract import ListenerOutput, SpeakerFeatures
from lhg_jax.metrics.retrieval import WordItems, numbered, retrieval, word_features


def items(text, audio, clip=None, word=None):
    numbers = np.arange(len(text))
    return WordItems(
        np.asarray(text, np.float32),
        np.asarray(audio, np.float32),
        numbers if clip is None else np.asarray(clip),
        numbers if word is None else np.asarray(word),
    )


def test_by_hand():
    # Text 0 points along x, and so does its audio (rank 0). Text 1 points along y: its own audio is at 60
    # degrees, audio 2 at 0 (rank 1). Text 2 points along y as well: its own audio is the nearest (rank 0).
    half = np.sqrt(3) / 2
    found = retrieval(items([[1, 0], [0, 1], [0, 2]], [[5, 0], [half, 0.5], [0, 1]]), candidates=3)
    assert found["top_1"] == pytest.approx(2 / 3)
    assert found["top_5"] == 1.0
    assert (found["chance_1"], found["chance_5"], found["items"]) == (1 / 3, 1.0, 3.0)


def test_constant_features_find_nothing():
    found = retrieval(items(np.ones((40, 4)), np.ones((40, 4))), candidates=10)
    assert found["top_1"] == 0.0 and found["top_5"] == 0.0


def test_unrelated_features_find_what_chance_does_and_tied_ones_everything():
    text, audio = np.random.default_rng(0).normal(size=(2, 600, 16))
    found = retrieval(items(text, audio), candidates=20)
    assert found["top_1"] == pytest.approx(found["chance_1"], abs=0.03)
    assert found["top_5"] == pytest.approx(found["chance_5"], abs=0.06)
    assert retrieval(items(text, 3 * text + 0.01 * audio), candidates=20)["top_1"] == 1.0


def test_the_same_clip_and_the_same_word_are_no_candidates():
    text = np.eye(4)
    # Audio 1 is as near to text 0 as its own, but is of the same clip; audio 2 is the same word.
    audio = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    same = items(text, audio, clip=[0, 0, 1, 2], word=[0, 1, 0, 3])
    assert retrieval(same, candidates=2)["items"] == 4.0
    found = retrieval(same._replace(clip=np.arange(4), word=np.arange(4)), candidates=4)
    assert found["top_1"] == 0.25  # only the last: three share their audio
    # Now the first has the last alone to compare with, and finds its own.
    assert retrieval(same, candidates=2)["top_1"] == 0.5


def test_too_few_words_are_not_a_number():
    found = retrieval(items(np.eye(3), np.eye(3)), candidates=10)
    assert np.isnan(found["top_1"]) and np.isnan(found["top_5"]) and found["items"] == 0


def test_features_of_words_are_means_over_their_frames():
    rng = np.random.default_rng(1)
    frames, size = 9, 3
    text, high = rng.normal(size=(2, 1, frames, size)).astype(np.float32)
    index = np.array([0, 1, 1, 1, 0, 2, 2, 3, 3])
    in_clip = np.arange(frames) < 8
    window = SpeakerFeatures(
        log_mel=np.zeros((20, 128), np.float32),
        mfcc=np.zeros((frames, 39), np.float32),
        word_table=np.zeros((4, 8), np.float32),
        word_index=index,
        speaker_motion=np.zeros((frames, 70), np.float32),
        speaker_seen=np.ones(frames, bool),
        in_clip=in_clip,
    )
    levels = (jnp.zeros_like(high), jnp.zeros_like(high), jnp.asarray(high))
    output = ListenerOutput(
        jnp.zeros((1, frames, 70)), jnp.asarray(text), levels, jnp.ones((1, frames), bool)
    )
    found_text, found_audio, rows = word_features(output, window)
    assert rows.tolist() == [1]  # the others have fewer than three frames inside the clip
    np.testing.assert_allclose(found_text[0], text[0, 1:4].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found_audio[0], high[0, 1:4].mean(0), rtol=1e-6)


def test_words_are_the_same_whatever_is_around_them():
    assert numbered(["No,", "no", "KNOW", "don't", "Don't!"]).tolist() == [2, 2, 1, 0, 0]

import numpy as np
import pytest

from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps
from lhg_jax.speech import extract
from lhg_jax.speech.extract import extract_speech
from lhg_jax.speech.log_mel import log_mel
from lhg_jax.speech.mfcc import mfcc
from lhg_jax.speech.words import Word
from lhg_jax.util.errors import UserError


class LengthEncoder:
    """Stand-in: a word's vector is its length, three times."""

    def word_vectors(self, words):
        return np.array([[0] + [len(word) for word in words]] * 3, np.float32).T


def noise(samples):
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("samples, frames", [(1, 1), (100, 1), (16000, 30), (16000, 45), (16000, 10)])
def test_shapes_hold_for_any_length_of_sound(samples, frames):
    result = extract_speech(noise(samples), frames, [Word("yes", 0.0, 0.2)], LengthEncoder())
    assert result.log_mel.shape == (mel_steps(frames), MEL_BANDS)
    assert result.mfcc.shape == (frames, MFCC_SIZE)
    assert result.word_index.shape == (frames,)
    np.testing.assert_array_equal(result.word_table, [[0, 0, 0], [3, 3, 3]])


def test_parts_are_those_of_the_single_functions():
    wave, words = noise(16000), [Word("a", 0.1, 0.3), Word("bcd", 0.5, 0.8)]
    result = extract_speech(wave, 30, words, LengthEncoder())
    np.testing.assert_array_equal(result.log_mel, log_mel(wave, 30))
    np.testing.assert_array_equal(result.mfcc, mfcc(wave, 30))
    np.testing.assert_array_equal(result.word_table[result.word_index][[0, 4, 20, 29], 0], [0, 1, 3, 0])


def test_no_words():
    result = extract_speech(noise(16000), 30, [], LengthEncoder())
    assert result.word_table.shape == (1, 3) and not result.word_index.any()


def test_without_a_transcript_words_are_recognised(monkeypatch):
    monkeypatch.setattr(extract, "recognise", lambda wave: [Word("heard", 0.0, 1.0)])
    assert extract_speech(noise(16000), 30, None, LengthEncoder()).word_index.all()


def test_no_samples_is_a_user_error():
    with pytest.raises(UserError, match="no sound samples"):
        extract_speech(np.zeros(0, np.float32), 3, [], LengthEncoder())

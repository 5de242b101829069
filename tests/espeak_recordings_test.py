"""The folder of everyday sentences that espeak-ng's voices read, and its templates."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lhg_jax.media.audio import SAMPLE_RATE, read_audio
from lhg_jax.preparation.speech_folder import read_speech_folder
from lhg_jax.simulator.grammar import filled
from lhg_jax.simulator.sentiment import negates
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from espeak_recordings import SENTENCES, Options, main

TEMPLATES = SENTENCES.read_text(encoding="utf-8").splitlines()


def test_the_folder_is_one_that_prepare_reads(tmp_path):
    main(Options(tmp_path / "voices", voices=2, recordings=1, sentences=2))
    first, second = read_speech_folder(tmp_path / "voices").recordings
    assert first.speaker != second.speaker
    wave = read_audio(first.path)
    starts = [word.start_s for word in first.words]
    assert len(starts) > 4 and starts == sorted(starts)
    after = wave[round((first.words[-1].end_s + 0.1) * SAMPLE_RATE) :]
    level = np.sqrt(np.mean(np.square(wave)))
    assert len(after) and np.abs(after).max() < level / 10  # nobody speaks after the last word
    for word in first.words:  # there is a voice where a word is said
        said = wave[round(word.start_s * SAMPLE_RATE) : round(word.end_s * SAMPLE_RATE)]
        assert np.abs(said).max() > level / 2


@pytest.mark.parametrize("numbers", [{"voices": 0}, {"recordings": 0}, {"sentences": 0}, {"sentences": 999}])
def test_numbers_without_sense_leave_no_folder(tmp_path, numbers):
    with pytest.raises(UserError, match="--sentences: 1 to"):
        main(Options(tmp_path / "voices", **numbers))
    assert not (tmp_path / "voices").exists()


def test_templates_are_sentences():
    for number, template in enumerate(TEMPLATES):
        phrases = filled(template, np.random.default_rng(number))
        text = "".join(word for phrase in phrases for word in phrase.words)
        assert phrases[-1].end == "." and text.replace("'", "").isalpha(), template


def test_most_say_no_each_in_its_own_words():
    negated = [line for line in TEMPLATES if any(map(negates, line.replace(",", "").split()))]
    assert len(negated) > 80 and len(set(negated)) == len(negated)

import sys
from pathlib import Path

import numpy as np
import pytest
from prepare_helpers import Letters

from lhg_jax.simulator.benchmark import TestClip
from lhg_jax.simulator.dyads import synthesise
from lhg_jax.simulator.examples import make_example
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import robustness


def test_a_sound_lies_as_far_below_the_speech_as_is_asked():
    speech = np.tile(np.array([0.1, -0.1], np.float32), 8000)
    added = robustness.mixed(speech, robustness.white(16000, 1), 10.0) - speech
    assert 20 * np.log10(0.1 / added.std()) == pytest.approx(10, abs=0.1)
    quiet = np.concatenate([speech, np.zeros(48000, np.float32)])  # silence makes no speech quieter
    added = robustness.mixed(quiet, robustness.pink(64000, 1), 10.0) - quiet
    assert 20 * np.log10(0.1 / added.std()) == pytest.approx(10, abs=0.1)


def test_a_hum_loses_three_decibels_an_octave():
    power = np.abs(np.fft.rfft(robustness.pink(160_000, 3))) ** 2  # 0.1 Hz a bin
    octaves = [power[low : 2 * low].mean() for low in (1000, 2000, 4000, 8000)]
    np.testing.assert_allclose(np.diff(10 * np.log10(octaves)), -3.0, atol=0.4)
    assert power[:490].max() < 1e-6 * power.max()


def test_conditions_change_what_they_say_and_nothing_else(monkeypatch):
    monkeypatch.setattr(robustness, "shared_encoder", Letters)
    dyad = synthesise(5, 1)
    clip = TestClip(dyad, make_example(dyad, Letters()))
    tones = np.sin(np.arange(400) * 0.2).astype(np.float32)
    changes = robustness.conditions({"music": tones}, 10.0)
    assert [*changes] == ["as it is", "noise", "hum", "music", "face unseen", "no transcript"]
    found = {name: change(clip, 0, False).example.features for name, change in changes.items()}
    plain = found["as it is"]
    assert not found["face unseen"].speaker_seen.any() and plain.speaker_seen.all()
    assert not found["no transcript"].word_index.any() and plain.word_index.any()
    for name in ("noise", "hum", "music"):
        assert np.abs(found[name].log_mel - plain.log_mel).mean() > 1  # dB
        np.testing.assert_array_equal(found[name].speaker_motion, plain.speaker_motion)
        np.testing.assert_array_equal(found[name].word_index, plain.word_index)
    np.testing.assert_array_equal(found["face unseen"].log_mel, plain.log_mel)


def test_the_table_has_changes_by_speaker_but_not_for_other_people():
    names = [column.name for column in robustness.RULES]
    plain = {name: [0.5, 0.7, 0.9] for name in names}
    worse = {name: [0.3, 0.5, 0.7] for name in names}
    table = {"paper seed0": {"as it is": plain, "noise": worse, "other languages": {n: [0.1] for n in names}}}
    text = robustness.markdown(table, ["ann", "bob", "cid"], ["jan"], 10.0)
    assert "| *noise, change* | | -0.2 ± " in text and "| other languages | 1 | 0.1 |" in text
    assert "other languages, change" not in text and "| noise | 3 | 0.5 ± 0.5 |" in text


def test_bad_sounds_are_errors(tmp_path):
    with pytest.raises(UserError, match="--sound music: not NAME=FILE"):
        robustness.named("music")
    with pytest.raises(UserError, match="nowhere"):
        robustness.named("music=nowhere.wav")

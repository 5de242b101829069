import dataclasses

import numpy as np
import pytest
from prepare_helpers import run

from lhg_jax import prepare
from lhg_jax.data.records import open_source
from lhg_jax.features import mel_steps
from lhg_jax.moving_anchor import relative_to_anchor
from lhg_jax.preparation import synthetic_clips
from lhg_jax.preparation.synthetic_clips import SyntheticJob, make_causal_example
from lhg_jax.simulator.dyads import split_seed, synthesise, synthesise_varied
from lhg_jax.util.lock import locked


def test_prepared_clips_are_the_simulators_and_are_made_once(tmp_path, monkeypatch):
    arguments = [
        "--hours",
        "0.008",
        "--seed",
        "3",
        "--split",
        "valid",
        "--workers",
        "1",
        "--out",
        tmp_path / "new",
    ]
    run(monkeypatch, *arguments)
    source = open_source(str(tmp_path / "new"))
    assert len(source) == len(source.metadata.uuids) >= 2
    dyad = synthesise_varied(split_seed(3, "valid"), 1)
    example = source[1]
    np.testing.assert_array_equal(example.listener_motion, dyad.listener.values)
    np.testing.assert_array_equal(example.features.speaker_motion, dyad.speaker.values)
    assert example.features.log_mel.shape == (mel_steps(len(dyad.listener)), 128)
    assert source.metadata.uuids[1] == dyad.uuid

    shards = sorted((tmp_path / "new").glob("*.array_record"))
    made = [shard.stat().st_mtime_ns for shard in shards]
    run(monkeypatch, *arguments)
    assert [shard.stat().st_mtime_ns for shard in shards] == made


@pytest.mark.parametrize("option", [("--hours", "0"), ("--seed", "-1"), ("--workers", "-2")])
def test_options_without_sense(option, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, *option, "--out", tmp_path / "new")
    assert exit_info.value.code == 2
    assert "must be positive" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit):
        run(monkeypatch, "--hours", "0.01", "--out", tmp_path / "file" / "new")
    assert "cannot be created" in capsys.readouterr().err


def test_one_process_at_a_time_prepares_a_folder(tmp_path, monkeypatch, capsys):
    with locked(tmp_path / "new" / prepare.CLIPS), pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, "--hours", "0.01", "--out", tmp_path / "new")
    assert exit_info.value.code == 2
    assert "in use by process" in (message := capsys.readouterr().err) and "another --out" in message


class NoWords:
    name = "no words"

    def __init__(self, folder=None):
        """As `shared_encoder` is called."""

    def prefix_vectors(self, words):
        return np.zeros((len(words) + 1, 3), np.float32)


def test_causal_clips_are_heard_and_seen_as_they_come():
    dyad = synthesise(0, 0)
    example = make_causal_example(dyad, NoWords())
    np.testing.assert_array_equal(example.listener_motion, dyad.listener.values)
    np.testing.assert_array_equal(example.features.speaker_motion, relative_to_anchor(dyad.speaker).values)
    assert SyntheticJob(0, 0, "train", causal=True).key != SyntheticJob(0, 0, "train").key


def test_without_transcripts_no_word_is_known(monkeypatch):
    monkeypatch.setattr(synthetic_clips, "shared_encoder", NoWords)
    said = SyntheticJob(0, 0, "train", causal=True)
    heard = dataclasses.replace(said, transcribed=False)
    with_words, _ = said.make()
    without, info = heard.make()
    assert with_words.features.word_index.any() and not without.features.word_index.any()
    assert len(without.features.word_table) == 1
    np.testing.assert_array_equal(without.features.log_mel, with_words.features.log_mel)
    assert info.transcript == "[]" and said.key != heard.key


@pytest.mark.slow
def test_prepared_causal_clips_say_so(tmp_path, monkeypatch):
    run(monkeypatch, "--causal", "--hours", "0.004", "--workers", "1", "--out", tmp_path / "new")
    spec = open_source(str(tmp_path / "new")).features
    assert spec.causal and spec.log_mel == "running_loudness/1" and spec.mfcc == "past/1"


def test_another_recipe_makes_other_clips(monkeypatch):
    job = synthetic_clips.SyntheticJob(3, 0, "train")
    before = job.key
    assert synthetic_clips.SyntheticJob(3, 0, "train").key == before
    monkeypatch.setattr(synthetic_clips, "RECIPE_VERSION", synthetic_clips.RECIPE_VERSION + 1)
    assert job.key != before

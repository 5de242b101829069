"""What a resumed run may change, and clips that do not go together; nothing is compiled here."""

import dataclasses
import json

import pytest
from clip_folder import make_folder
from training_configs import make_config

from lhg_jax.config import AugmentConfig, CheckpointConfig, LoopConfig, OptimizerConfig, to_json
from lhg_jax.contract import FeatureSpec
from lhg_jax.data import records
from lhg_jax.training import loop
from lhg_jax.training.identity import (
    IDENTITY,
    check_clips,
    check_same_run,
    check_workdir,
    run_identity,
    write_settings,
)
from lhg_jax.util.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips")
    make_folder(path)
    return path


def identity_of(config):
    source = records.open_source(config.data.train)
    return run_identity(config, source, source)


def leave_run(config, workdir):
    """A working folder as a run leaves it after its first save."""
    (workdir / "checkpoints" / "2").mkdir(parents=True)
    write_settings(config, identity_of(config), workdir)


CHANGES = {
    "train.seed was 0 and is now 7": {"train": LoopConfig(8, 4, log_every=1, eval_every=100, seed=7)},
    "train.batch_size was 8 and is now 16": {"train": LoopConfig(16, 4, log_every=1, eval_every=100)},
    "optimizer.learning_rate was 0.001 and is now 0.1": {
        "optimizer": OptimizerConfig(learning_rate=0.1, warmup_steps=1)
    },
    "augment.gain_db was 6.0 and is now 3.0": {"augment": AugmentConfig(gain_db=3.0)},
}


@pytest.mark.parametrize("message", CHANGES)
def test_a_save_is_continued_by_the_same_run_only(folder, tmp_path, message):
    leave_run(make_config(folder), tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(UserError) as error:
        loop.train(make_config(folder, **CHANGES[message]), tmp_path)
    assert message in str(error.value) and "choose another --workdir" in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "config.json").read_text() == before


def test_all_that_differs_is_named(folder, tmp_path):
    leave_run(make_config(folder), tmp_path)
    train = LoopConfig(batch_size=16, steps=4, seed=1)
    with pytest.raises(UserError, match=r"train\.batch_size was 8 and is now 16, train\.seed was 0 and"):
        check_same_run(identity_of(make_config(folder, train=train)), tmp_path)


def test_steps_logging_saving_and_devices_may_change(folder, tmp_path):
    config = make_config(folder)
    leave_run(config, tmp_path)
    changed = make_config(
        folder,
        train=LoopConfig(batch_size=8, steps=400, log_every=7, eval_every=9, sample_every=3, remat=True),
        data=dataclasses.replace(config.data, threads=3, workers=2, prefetch=9),
        checkpoint=CheckpointConfig(every=50, keep=1),
    )
    check_same_run(identity_of(changed), tmp_path)


def test_other_clips_are_another_run_and_a_moved_folder_is_not(folder, tmp_path):
    leave_run(make_config(folder), tmp_path / "run")
    make_folder(tmp_path / "moved")
    check_same_run(identity_of(make_config(tmp_path / "moved")), tmp_path / "run")
    make_folder(tmp_path / "other", frames=(9, 12, 7, 8))
    with pytest.raises(UserError, match=r"held-out clips was \w{12} and is now \w{12}, training clips was"):
        check_same_run(identity_of(make_config(tmp_path / "other")), tmp_path / "run")


def test_a_run_from_before_identities_is_compared_by_its_settings(folder, tmp_path):
    leave_run(make_config(folder), tmp_path)
    (tmp_path / IDENTITY).unlink()
    (tmp_path / "config.json").write_text(to_json(make_config(folder)))
    check_same_run(identity_of(make_config(folder, steps=9)), tmp_path)
    with pytest.raises(UserError, match=r"augment\.gain_db was 6\.0 and is now 3\.0"):
        check_same_run(identity_of(make_config(folder, augment=AugmentConfig(gain_db=3.0))), tmp_path)


def test_a_folder_without_a_save_takes_any_run(folder, tmp_path):
    write_settings(make_config(folder), identity_of(make_config(folder)), tmp_path)
    check_same_run(identity_of(make_config(folder, augment=AugmentConfig(gain_db=3.0))), tmp_path)


def test_damaged_identities_are_named(folder, tmp_path):
    leave_run(make_config(folder), tmp_path)
    (tmp_path / IDENTITY).write_text("{")
    with pytest.raises(UserError, match=r"identity.json: cannot be read .* choose another --workdir"):
        check_same_run(identity_of(make_config(folder)), tmp_path)


def test_held_out_clips_must_mean_what_the_training_clips_mean(folder, tmp_path):
    """`landmark` and `deep3d` have equally many coefficients: only their name tells them apart."""
    make_folder(tmp_path)
    splits = json.loads((tmp_path / records.METADATA).read_text())
    splits["train"]["space"] = "deep3d"
    (tmp_path / records.METADATA).write_text(json.dumps(splits))
    config = make_config(folder)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, evaluation=str(tmp_path)))
    with pytest.raises(
        UserError, match=rf"{folder}: space landmark; {tmp_path}: space deep3d \(prepare both"
    ):
        loop.train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_clips_keep_what_their_features_mean(folder, tmp_path):
    source = records.open_source(folder)
    assert source.features == FeatureSpec(word_size=6)
    spec = FeatureSpec(log_mel="running/1", causal=True, word_size=6)
    metadata = dataclasses.replace(source.metadata, features=spec)
    records.write_metadata(folder / "causal", {"train": dataclasses.replace(metadata, shards=[])})
    assert records.read_metadata(folder / "causal")["train"].features == spec
    other = records.RecordSource(folder, metadata)
    with pytest.raises(UserError, match=r"log_mel loudest_step/1, causal False; .*: log_mel running/1"):
        check_clips(make_config(folder), source, other)


def test_a_finished_row_of_a_sweep_is_of_these_settings(folder, tmp_path):
    """The overrides of a sweep are in no row's name."""
    leave_run(make_config(folder), tmp_path)
    check_workdir(make_config(folder), tmp_path)
    with pytest.raises(UserError, match=r"augment\.gain_db was 6\.0 and is now 3\.0"):
        check_workdir(make_config(folder, augment=AugmentConfig(gain_db=3.0)), tmp_path)

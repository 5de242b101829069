import dataclasses
import json
import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from clip_folder import make_folder
from training_configs import make_config
from training_toy import WORD_SIZE

from lhg_jax.config import (
    CheckpointConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
)
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.models.vico_lstm import ViCoConfig
from lhg_jax.motion import LANDMARK
from lhg_jax.training import loop
from lhg_jax.training.logs import StepLog
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips")
    make_folder(path)
    return path


def lines(workdir: Path, kind: str):
    entries = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind]


def stop_after(monkeypatch, steps):
    """Sends this process SIGTERM when the metrics of step `steps` come in, one step later."""
    add, seen = StepLog.add, []

    def add_and_stop(log, metrics):
        seen.append(metrics)
        if len([entry for entry in seen if entry is not None]) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        add(log, metrics)

    monkeypatch.setattr(StepLog, "add", add_and_stop)


def test_terminated_and_resumed_run_equals_an_uninterrupted_one(folder, tmp_path, monkeypatch):
    config = make_config(folder, steps=5)
    whole = loop.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        stopped = loop.train(config, tmp_path / "parts")
    assert not stopped.finished
    assert int(stopped.state.step) == 3
    resumed = loop.train(config, tmp_path / "parts")
    assert resumed.finished
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(resumed.state), jax.device_get(whole.state))
    losses = [[entry["loss"] for entry in lines(tmp_path / name, "train")] for name in ("whole", "parts")]
    assert losses[0] == losses[1]
    assert [entry["step"] for entry in lines(tmp_path / "parts", "train")] == [1, 2, 3, 4, 5]
    assert resumed.evaluation == whole.evaluation


def test_finished_run_is_left_alone(folder, tmp_path):
    config = make_config(folder, steps=2)
    first = loop.train(config, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_text()
    again = loop.train(config, tmp_path)
    assert again.finished
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(again.state), jax.device_get(first.state))
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_run_writes_settings_and_metrics(folder, tmp_path):
    config = make_config(folder, steps=2)
    summary = loop.train(config, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(
        json.dumps(dataclasses.asdict(config))
    )
    (evaluation,) = lines(tmp_path, "eval")
    assert evaluation["step"] == 2
    assert {"L_dec", "exp_l1", "pose_l1", "pose_motion", "exp_frechet"} <= set(summary.evaluation)
    trained = load_listener(tmp_path / "listener.safetensors")
    expected = jax.device_get(summary.state.eval_variables)
    jax.tree.map(np.testing.assert_array_equal, trained.variables, expected)
    entry = lines(tmp_path, "train")[-1]
    assert {"loss", "grad_norm", "skipped", "data_s", "step_s", "save_s", "clips_per_s"} <= set(entry)


def test_run_leaves_its_listener(folder, tmp_path):
    """`sample` takes it: averaged parameters, space, size of the word vectors, where it is from."""
    train = LoopConfig(batch_size=8, steps=4, log_every=1, eval_every=2)
    best = CheckpointConfig(every=2, keep=1, best="L_dec", best_is="highest")
    config = make_config(folder, train=train, checkpoint=best)
    summary = loop.train(config, tmp_path)
    scores = {entry["L_dec"]: entry["step"] for entry in lines(tmp_path, "eval")}
    trained = load_listener(tmp_path / "listener.safetensors")
    assert (trained.model.config, trained.space, trained.word_size) == (config.model, LANDMARK, WORD_SIZE)
    _, notes = load_weights(tmp_path / "listener.safetensors")
    assert len(scores) == 2 and notes["training"] == f"{scores[max(scores)]} steps on 3 clips (0.0 h)"
    assert json.loads(notes["settings"])["train"]["steps"] == 4
    newest = jax.device_get(summary.state.eval_variables)
    equal = jax.tree.map(np.array_equal, trained.variables, newest)
    assert all(jax.tree.leaves(equal)) == (scores[max(scores)] == 4)


def test_ten_bad_updates_in_a_row_stop_the_run(folder, tmp_path):
    config = make_config(
        folder,
        steps=20,
        optimizer=OptimizerConfig(learning_rate=float("nan"), warmup_steps=1),
        train=LoopConfig(batch_size=8, steps=20, log_every=1, max_skipped=3),
    )
    with pytest.raises(UserError, match=r"3 updates in a row had gradients that are not finite"):
        loop.train(config, tmp_path)


def test_settings_that_do_not_fit(folder, tmp_path):
    wrong = make_config(folder, model=ViCoConfig(coeff=73, hidden=4, layers=1))
    with pytest.raises(UserError, match=r"model.coeff=73, but .* is in space 'landmark' with 70"):
        loop.train(wrong, tmp_path)
    data, best = dataclasses.replace(wrong.data, evaluation=""), CheckpointConfig(best="L_dec")
    with pytest.raises(UserError, match=r"checkpoint.best=L_dec needs held-out clips \(data.evaluation\)"):
        loop.train(make_config(folder, data=data, checkpoint=best), tmp_path)
    with pytest.raises(UserError, match=r"loss.motion: no loss 'l7' \(there are paper, vico"):
        loop.train(make_config(folder, loss=LossConfig("l7", "none")), tmp_path)
    with pytest.raises(UserError, match=r"'paper' has no option 'w3' \(it has \['w1', 'w2'\]\)"):
        loop.train(make_config(folder, loss=LossConfig("paper", "none", {"w3": 1.0})), tmp_path)


def test_workdir_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run/config.json: cannot be written"):
        loop.train(make_config(folder), tmp_path / "file" / "run")

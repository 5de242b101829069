import dataclasses
import json
import os
import re
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
from lhg_jax.training import compiler, loop, sharding
from lhg_jax.training.logs import StepLog
from lhg_jax.util import progress
from lhg_jax.util.errors import UserError
from lhg_jax.util.lock import locked
from lhg_jax.weights import load_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips")
    make_folder(path)
    return path


def lines(workdir: Path, kind: str):
    entries = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind]


def stop_after(monkeypatch, steps, number):
    """Sends this process a signal when step `steps` has been sent off."""
    add, seen = StepLog.add, []

    def add_and_stop(log, metrics):
        seen.append(metrics)
        if len(seen) == steps:
            os.kill(os.getpid(), number)
        add(log, metrics)

    monkeypatch.setattr(StepLog, "add", add_and_stop)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_run_equals_an_uninterrupted_one(folder, tmp_path, monkeypatch, capsys, number):
    config = make_config(folder, steps=5)
    whole = loop.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 3, number)
        stopped = loop.train(config, tmp_path / "parts")
    assert not stopped.finished and stopped.signal == number
    assert int(stopped.state.step) == 3
    assert "stopping after this step, with a save (once more ends at once)" in capsys.readouterr().err
    resumed = loop.train(config, tmp_path / "parts")
    assert resumed.finished
    saved = tmp_path / "parts" / "checkpoints" / "3"
    assert f"continues at step 3 of 5 steps ({saved})" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(resumed.state), jax.device_get(whole.state))
    losses = [[entry["loss"] for entry in lines(tmp_path / name, "train")] for name in ("whole", "parts")]
    assert losses[0] == losses[1]
    assert [entry["step"] for entry in lines(tmp_path / "parts", "train")] == [1, 2, 3, 4, 5]
    assert resumed.evaluation == whole.evaluation


def test_finished_run_is_left_alone(folder, tmp_path, capsys):
    config = make_config(folder, steps=2)
    first = loop.train(config, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_text()
    again = loop.train(config, tmp_path)
    assert again.finished
    capsys.readouterr()
    loop.report(again, tmp_path)
    assert capsys.readouterr().err.startswith("finished at step 2: nothing was left to do\n")
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
    assert len(scores) == 2 and notes["training"] == f"{scores[max(scores)]} steps on 3 clips (1 s)"
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
    with pytest.raises(UserError, match=r"'paper' has no option 'w3' \(it has w1, w2\)"):
        loop.train(make_config(folder, loss=LossConfig("paper", "none", {"w3": 1.0})), tmp_path)


def test_workdir_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run: cannot be written"):
        loop.train(make_config(folder), tmp_path / "file" / "run")


def test_a_log_says_what_runs_and_how_far_it_is(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    config = make_config(folder, steps=3)
    loop.report(loop.train(config, tmp_path), tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"lhg_jax \S+, JAX \S+, 8 x cpu", lines[0])
    assert re.fullmatch(r"ViCoListener with [\d,]+ parameters; batches of 8 x 6 frames", lines[1])
    assert lines[2] == f"3 clips (1 s) of {folder}; 3 held out"
    assert lines[3] == f"{tmp_path}: starts, for 3 steps"
    assert lines[4] == "compiling the step, or reading it from the cache"
    assert re.fullmatch(r"step ready in \d+ (s|min)", lines[5])
    assert re.fullmatch(r"step 1/3: loss [\d.]+, [\d.]+ clips/s, \d+ s left", lines[6])
    assert re.fullmatch(r"step 3/3: held-out clips: L_dec [\d.]+, exp_l1 .*", lines[9])
    assert lines[10].startswith("finished at step 3: ") and "compile " in lines[10]
    assert lines[11] == f"listener: {tmp_path / 'listener.safetensors'}"


def test_time_to_compile_is_not_time_to_train(folder, tmp_path):
    summary = loop.train(make_config(folder, steps=2), tmp_path)
    assert summary.seconds["compile_s"] > 10 * summary.seconds["step_s"]
    assert summary.clips_per_s > 16 / summary.seconds["compile_s"]
    assert "compile_s" not in lines(tmp_path, "train")[0]


def test_two_runs_in_one_folder(folder, tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match=r"in use by process .* choose another --workdir"):
        loop.train(make_config(folder), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_a_save_can_be_scored_without_training(folder, tmp_path):
    config = make_config(folder, steps=2)
    with pytest.raises(UserError, match="holds no save to evaluate"):
        loop.evaluate_saved(config, tmp_path / "none")
    summary = loop.train(config, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_text()
    step, scores = loop.evaluate_saved(config, tmp_path)
    assert step == 2 and scores == summary.evaluation
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_the_second_start_compiles_nothing(folder, tmp_path):
    """Counted by the events of JAX's compilation cache; the first start shows that they are counted."""
    from jax.experimental.compilation_cache import compilation_cache

    events = []

    def count(event: str, **_) -> None:
        events.append(event)

    def misses(workdir) -> int:
        events.clear()
        jax.clear_caches()
        sharding._gather.cache_clear()
        compiler.compiler_options.cache_clear()
        loop.train(config, workdir)
        return events.count("/jax/compilation_cache/cache_misses")

    config = make_config(folder, steps=2)
    settings = {
        "jax_compilation_cache_dir": str(tmp_path / "cache"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        jax.monitoring.register_event_listener(count)
        assert misses(tmp_path / "first") > 10
        assert misses(tmp_path / "second") == 0
    finally:
        jax.monitoring.unregister_event_listener(count)
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.motion import LANDMARK
from lhg_jax.training import logs
from lhg_jax.training.evaluation import FrechetSums
from lhg_jax.util.errors import UserError


def step_metrics(loss, skipped=0):
    return {
        "loss": jnp.float32(loss),
        "skipped": jnp.int32(skipped),
        "skipped_in_a_row": jnp.int32(skipped),
    }


def test_a_killed_writers_half_line_and_later_lines_go(tmp_path):
    whole = [json.dumps({"step": step, "kind": "train"}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*whole, '{"step": 2, "ki']))
    writer = logs.JsonLinesWriter(tmp_path, 2)
    writer.write(3, "train", {"loss": float(np.float32(1 / 3))})
    writer.write(3, "eval", {})
    writer.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[:2] == whole[:2] and len(lines) == 3
    assert np.float32(json.loads(lines[2])["loss"]) == np.float32(1 / 3)


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(logs.jax, "process_index", lambda: 1)
    writer = logs.open_writer(tmp_path, 0)
    writer.write(1, "train", {"loss": 1.0})
    writer.image(1, "x", np.zeros((2, 2, 3), np.uint8))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_lines_hold_means_counters_times_and_mfu(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logs.time, "perf_counter", lambda: now[0])
    log = logs.StepLog(batch_size=4, max_skipped=10, flops=30.0, peak=100.0)
    for loss, skipped in ((1.0, 0), (3.0, 1)):
        with log.measure("data_s"):
            now[0] += 1.0
        with log.measure("step_s"):
            now[0] += 2.0
            log.add(step_metrics(loss, skipped))
    with log.measure("save_s"):
        now[0] += 2.0
    line = log.summary()
    assert (line["loss"], line["skipped"]) == (2.0, 1)
    assert (line["data_s"], line["step_s"], line["save_s"], line["eval_s"]) == (2.0, 4.0, 2.0, 0.0)
    assert line["clips_per_s"] == 1.0
    assert line["mfu"] == pytest.approx(2 * 30 / 6 / 100)
    log.add(step_metrics(5.0))
    line = log.summary()
    assert (line["loss"], line["data_s"]) == (5.0, 0.0)
    assert log.total_s["data_s"] == 2.0


def test_mfu_is_left_out_where_the_peak_is_unknown():
    log = logs.StepLog(batch_size=4, max_skipped=10, flops=30.0, peak=None)
    log.add(step_metrics(1.0))
    assert "mfu" not in log.summary()


def test_too_many_skipped_updates_stop_the_run():
    log = logs.StepLog(batch_size=4, max_skipped=2, flops=0.0, peak=None)
    log.add(step_metrics(1.0, 1))
    log.add(step_metrics(1.0, 2))
    with pytest.raises(UserError, match="2 updates in a row"):
        log.flush()


def test_what_is_not_finite_is_null_in_json(tmp_path):
    writer = logs.JsonLinesWriter(tmp_path, 0)
    writer.write(1, "train", {"loss": float("nan"), "grad_norm": float("inf"), "L_dec": 1.0})
    writer.close()

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert (row["loss"], row["grad_norm"], row["L_dec"]) == (None, None, 1.0)


def test_a_writer_that_cannot_finish_leaves_the_history(tmp_path, monkeypatch):
    history = json.dumps({"step": 1, "kind": "train"}) + "\n"
    (tmp_path / "metrics.jsonl").write_text(history)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_text", killed)
        logs.JsonLinesWriter(tmp_path, 1)
    assert (tmp_path / "metrics.jsonl").read_text() == history


def test_compilation_is_in_no_line(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logs.time, "perf_counter", lambda: now[0])
    log = logs.StepLog(batch_size=4, max_skipped=10, flops=0.0, peak=None)
    with log.measure("compile_s"):
        now[0] += 100.0
        log.add(step_metrics(1.0))
    with log.measure("step_s"):
        now[0] += 2.0
    assert log.summary()["clips_per_s"] == 2.0
    assert log.total_s["compile_s"] == 100.0


def test_frechet_over_batches_is_that_of_all_valid_frames():
    predicted, target = np.random.default_rng(0).normal(size=(2, 6, 50, LANDMARK.size)).astype(np.float32)
    valid = np.arange(50) < np.array([50, 40, 30, 50, 20, 50])[:, None]
    whole, parts, shifted = (FrechetSums(LANDMARK) for _ in range(3))
    whole.add(predicted, target, valid)
    for rows in (slice(0, 2), slice(2, 6)):
        parts.add(predicted[rows], target[rows], valid[rows])
    assert parts.distances() == pytest.approx(whole.distances(), rel=1e-6)
    garbage = np.where(valid[..., None] & (np.arange(50) > 0)[:, None], target + 1, 99)
    shifted.add(garbage, target, valid)
    assert shifted.distances()["exp_frechet"] == pytest.approx(64, rel=1e-3)
    assert FrechetSums(LANDMARK).distances() == {}

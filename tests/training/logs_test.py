import json

import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.motion import LANDMARK
from lhg_jax.training import logs
from lhg_jax.training.evaluation import FrechetSums
from lhg_jax.training.visualise import Samples, curves
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
    writer = logs.MetricsWriter(tmp_path, 2)
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
    assert logs.progress_bar().disable


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
    line = log.line()
    assert (line["loss"], line["skipped"]) == (2.0, 1)
    assert (line["data_s"], line["step_s"], line["save_s"], line["eval_s"]) == (2.0, 4.0, 2.0, 0.0)
    assert line["clips_per_s"] == 1.0
    assert line["mfu"] == pytest.approx(2 * 30 / 6 / 100)
    log.add(step_metrics(5.0))
    line = log.line()
    assert (line["loss"], line["data_s"]) == (5.0, 0.0)
    assert log.total_s["data_s"] == 2.0


def test_mfu_is_left_out_where_the_peak_is_unknown():
    log = logs.StepLog(batch_size=4, max_skipped=10, flops=30.0, peak=None)
    log.add(step_metrics(1.0))
    assert "mfu" not in log.line()


def test_too_many_skipped_updates_stop_the_run():
    log = logs.StepLog(batch_size=4, max_skipped=2, flops=0.0, peak=None)
    log.add(step_metrics(1.0, 1))
    log.add(step_metrics(1.0, 2))
    with pytest.raises(UserError, match="2 updates in a row"):
        log.add(None)


class Board(logs.NoWriter):
    def __init__(self):
        self.images = {}

    def image(self, step, name, image):
        self.images[step, name] = image


def motions():
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (2, 30, LANDMARK.size)).astype(np.float32)


def test_sample_clips_are_drawn_in_the_background(tmp_path):
    board = Board()
    with Samples(tmp_path, board) as samples:
        samples._render = lambda values: (np.full((16, 20, 3), 100 * i, np.uint8) for i in range(2))
        samples.show(7, *motions(), LANDMARK)
    assert board.images[7, "sample/frames"].shape == (8 * 16, 40, 3)
    assert board.images[7, "sample/curves"].ndim == 3
    assert (tmp_path / "samples" / "step_000007.mp4").stat().st_size > 100


def test_samples_say_once_what_they_cannot_draw(tmp_path, monkeypatch, capsys):
    def missing():
        raise ImportError("no renderer here")

    monkeypatch.setattr("lhg_jax.training.visualise.portrait_renderer", missing)
    board = Board()
    with Samples(tmp_path, board) as samples:
        for step in (1, 2):
            samples.show(step, *motions(), LANDMARK)
            samples._work.result()
    assert capsys.readouterr().err.count("no frames of sample clips: no renderer here") == 1
    assert (2, "sample/curves") in board.images


def test_curves_differ_with_the_motion():
    a, b = motions()
    assert not np.array_equal(curves(a, b, LANDMARK), curves(a + 0.1, b, LANDMARK))


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

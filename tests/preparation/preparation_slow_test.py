"""Preparation as a command in processes of its own: killed and run again, and on Apache Beam."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_vico_tree import ChallengeTree

from lhg_jax.data.records import open_source
from lhg_jax.data.schema import decode, decode_info, encode

pytestmark = pytest.mark.slow


def command(tree: ChallengeTree, out: Path, *arguments: str) -> list[str]:
    words = [sys.executable, "-m", "lhg_jax.prepare", *tree.options(), "--out", out, *arguments]
    return list(map(str, words))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the pictures, whose bytes name no version of the data."""
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".png"
    }


@pytest.fixture
def tree(tmp_path) -> ChallengeTree:
    tree = ChallengeTree(tmp_path)
    for number in range(6):
        tree.add(f"clip{number}", split="train" if number < 4 else "ood")
    tree.sound("clip1").unlink()
    tree.video("clip3.speaker").write_bytes(b"no video")
    tree.write_tables()
    return tree


def test_killed_and_run_again(tree, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(tree, out, "--workers", "2"), start_new_session=True)
    while not list(out.glob(".clips/[!.]*.clip")):
        assert process.poll() is None, "finished before it was killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "metadata.json").exists()
    marked = {mark(path) for path in out.glob(".clips/[!.]*.clip")}
    assert marked
    done = subprocess.run(command(tree, out, "--workers", "2"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "clip1" in done.stderr and "clip3.speaker.mp4: not a media file" in done.stderr
    for split, uuids in {"train": ["clip0", "clip2"], "ood": ["clip4", "clip5"]}.items():
        source = open_source(out / split)
        assert source.metadata.uuids == uuids
        for number, uuid in enumerate(uuids):
            assert (source.info(number).notes == "from the first run") == (uuid in marked)


def mark(path: Path) -> str:
    """Notes in a finished clip that it was made before; returns its name."""
    record = path.read_bytes()
    info = decode_info(record, 0)
    path.write_bytes(encode(decode(record, 0), dataclasses.replace(info, notes="from the first run")))
    return info.uuid


def test_beam_makes_the_same_files(tree, tmp_path):
    local, beam = tmp_path / "local", tmp_path / "beam"
    subprocess.run(command(tree, local, "--workers", "1"), check=True, capture_output=True)
    options = ("--runner", "DirectRunner", "--runner-options=--direct_num_workers=1")
    done = subprocess.run(command(tree, beam, *options), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(beam) == contents(local)


def test_a_runner_that_does_not_exist(tree, tmp_path):
    done = subprocess.run(
        command(tree, tmp_path / "out", "--runner", "NoSuchRunner"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "error: --runner NoSuchRunner" in done.stderr and "Traceback" not in done.stderr

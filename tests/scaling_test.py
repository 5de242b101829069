"""The collectives of a step on 64 devices are those that docs/scaling.md counts with."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from training_cli import ROOT, write_config
from training_processes_test import listener_config

sys.path.insert(0, str(ROOT / "tools"))
import scaling

PROGRAM = """
  %all-reduce.1 = f32[128]{0} all-reduce(%x), replica_groups={}
  %ag = (f32[4,2]{1,0}, bf16[8,2]{1,0}) all-gather-start(%y), dimensions={0}
  %agd = bf16[8,2]{1,0} all-gather-done(%ag)
  %add = f32[128]{0} add(%all-reduce.1, %all-reduce.1)
  %scalar = f32[] all-reduce(%z)
"""


def test_collectives_are_read_from_the_program():
    assert scaling.collectives(PROGRAM) == {"all-reduce": (2, 128 * 4 + 4), "all-gather": (1, 8 * 4 + 16 * 2)}


def analyse(config: Path, devices: int, fsdp: int) -> tuple[int, dict[str, int]]:
    command = [sys.executable, "tools/scaling.py", "--config", config, "--devices", devices, "--fsdp", fsdp]
    done = subprocess.run(
        [*map(str, command), "--clips-per-device", "1"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    params = int(re.search(r"parameters ([\d,]+)", done.stdout)[1].replace(",", ""))
    found = re.findall(r"^([\w-]+): [\d,]+, ([\d,]+) bytes", done.stdout, re.MULTILINE)
    return params, {kind: int(size.replace(",", "")) for kind, size in found}


@pytest.mark.slow  # compiles for 64 devices
def test_gradients_are_all_reduced_once_and_audio_banks_gathered(tmp_path):
    config = write_config(tmp_path / "config.py", listener_config(tmp_path))
    params, sizes = analyse(config, devices=64, fsdp=1)
    assert 4 * params <= sizes["all-reduce"] < 4.5 * params + 200_000
    frames, level = 64 * 6, 8
    assert sizes["all-gather"] >= 3 * frames * level * 4

"""The collectives of a step on 64 devices are those that docs/scaling.md counts with."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from training_cli import ROOT, write_config
from training_configs import CROP, listener_config

sys.path.insert(0, str(ROOT / "tools"))
import scaling

PROGRAM = """
HloModule jit_step

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body.2 (p: (s32[], f32[16])) -> (s32[], f32[16]) {
  %all-reduce.5 = f32[16]{0} all-reduce(%x), to_apply=%add
}

%flag (p: (pred[], f32[16])) -> pred[] {
  %p = (pred[], f32[16]) parameter(0)
  ROOT %go = pred[] get-tuple-element(%p), index=0
}

ENTRY %main (x: f32[128]) -> f32[128] {
  %all-reduce.1 = f32[128]{0} all-reduce(%x), replica_groups={}, to_apply=%add
  %ag = (f32[4,2]{1,0}, bf16[8,2]{1,0}) all-gather-start(%y), dimensions={0}
  %agd = bf16[8,2]{1,0} all-gather-done(%ag)
  %w = (s32[], f32[16]) while(%t), condition=%c, body=%body.2, backend_config={"known_trip_count":{"n":"3"}}
  %rare = (pred[], f32[16]) while(%u), condition=%flag, body=%body.2
  %scalar = f32[] all-reduce(%z), to_apply=%add
}
"""


def test_collectives_are_read_from_the_program():
    assert scaling.collectives(PROGRAM) == {
        "all-reduce": (2 + 3, 128 * 4 + 4 + 3 * 16 * 4),
        "all-gather": (1, 8 * 4 + 16 * 2),
    }


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
def test_a_step_sends_what_docs_scaling_says(tmp_path):
    config = write_config(tmp_path / "config.py", listener_config(tmp_path))
    params, sizes = analyse(config, devices=64, fsdp=1)
    stamps, level = 64 * CROP, 8
    assert set(sizes) == {"all-reduce", "all-gather"}
    assert sizes["all-gather"] == (1 + 4) * stamps
    gradients_and_rows = 4 * params + 2 * 4 * stamps * level + 2 * 4 * stamps
    assert gradients_and_rows <= sizes["all-reduce"] < gradients_and_rows + 4_000  # the norms' statistics

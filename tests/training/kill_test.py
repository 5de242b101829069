"""Runs that are killed again and again end with the parameters of one that was left alone, bit for bit."""

import dataclasses
import time

import numpy as np
import pytest
from clip_folder import make_folder
from training_cli import finish, metrics, saved, start, write_config
from training_configs import make_config

from lhg_jax.config import CheckpointConfig, LoopConfig

STEPS, SAVE_EVERY, KILLS = 200, 4, 10


def wait_until(process, workdir, step, during_save):
    """Waits for the log of `step`, then for a save in progress; what is there at that moment."""
    file, checkpoints = workdir / "metrics.jsonl", workdir / "checkpoints"
    while process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        saving = [path.name for path in checkpoints.glob("*.orbax-checkpoint-tmp*")]
        if len(lines) >= step and (saving or not during_save):
            return f"{len(lines)} steps logged, " + ("in a save" if saving else "between saves")
        time.sleep(0.002)
    raise AssertionError(f"ended before step {step}: {process.communicate()[0]}")


@pytest.mark.slow  # twelve processes: minutes
def test_ten_kills_and_a_sigterm_change_nothing(tmp_path):
    make_folder(tmp_path / "clips")
    config = make_config(
        tmp_path / "clips",
        train=LoopConfig(batch_size=8, steps=STEPS, log_every=1, eval_every=STEPS),
        checkpoint=CheckpointConfig(every=SAVE_EVERY, keep=3),
    )
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, evaluation=""))
    file, cache = write_config(tmp_path / "config.py", config), tmp_path / "cache"
    finish(start(file, tmp_path / "whole", cache=cache))
    seed = int(time.time())
    rng = np.random.default_rng(seed)
    print(f"seed {seed}, {STEPS} steps, a save every {SAVE_EVERY}")
    for number, step in enumerate(np.sort(rng.integers(1, STEPS - 2 * SAVE_EVERY, KILLS))):
        process = start(file, tmp_path / "parts", cache=cache)
        place = wait_until(process, tmp_path / "parts", step, during_save=number % 2 == 1)
        process.kill()
        finish(process, code=-9)
        print(f"kill -9 number {number + 1}: {place}")
    process = start(file, tmp_path / "parts", cache=cache)
    place = wait_until(process, tmp_path / "parts", STEPS - 2 * SAVE_EVERY, during_save=False)
    process.terminate()
    assert "stopped and saved" in finish(process, code=143)
    print(f"SIGTERM: {place}")
    output = finish(start(file, tmp_path / "parts", cache=cache))
    assert f"finished at step {STEPS}" in output
    whole, parts = (saved(tmp_path / name, STEPS) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)
    print(f"all {len(whole)} arrays of the last save are bit-identical")
    losses = [[entry["loss"] for entry in metrics(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == losses[1]
    left = sorted(path.name for path in (tmp_path / "parts" / "checkpoints").iterdir())
    assert len(left) == 3 and left[-1] == str(STEPS) and all(name.isdigit() for name in left)

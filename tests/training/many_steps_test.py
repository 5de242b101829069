"""Several steps in one program are the same steps."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from clip_folder import make_folder
from training_configs import make_config

from lhg_jax.config import CheckpointConfig, LoopConfig
from lhg_jax.training import loop
from lhg_jax.training.many_steps import check_steps_per_call, stacked
from lhg_jax.util.errors import UserError


def run(folder, workdir, count):
    """The last state, and what the log says of each step."""
    config = make_config(
        folder,
        train=LoopConfig(batch_size=8, steps=6, log_every=3, eval_every=6, steps_per_call=count),
        checkpoint=CheckpointConfig(every=3, keep=3),
    )
    summary = loop.train(config, workdir)
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return jax.device_get(summary.state), [row for row in rows if row["kind"] == "train"]


def test_three_steps_a_call_equal_one_step_a_call(tmp_path):
    """On eight devices, with saves and log lines in between."""
    make_folder(tmp_path / "clips")
    one, rows = run(tmp_path / "clips", tmp_path / "one", 1)
    three, rows_of_three = run(tmp_path / "clips", tmp_path / "three", 3)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), three, one)
    assert [row["step"] for row in rows_of_three] == [row["step"] for row in rows] == [3, 6]
    for row, other in zip(rows, rows_of_three, strict=True):
        np.testing.assert_allclose(other["loss"], row["loss"], rtol=1e-5)
    with pytest.raises(
        UserError, match=r"train\.steps_per_call=4 does not divide the 6 steps that are saved"
    ):
        config = make_config(
            tmp_path / "clips",
            train=LoopConfig(batch_size=8, steps=12, log_every=12, eval_every=12, steps_per_call=4),
            checkpoint=CheckpointConfig(every=12, keep=3),
        )
        loop.train(config, tmp_path / "three")


def test_batches_are_stacked_in_order():
    batches = iter({"x": np.full((2, 3), i)} for i in range(4))
    first, second = stacked(batches, 2)
    assert first["x"].shape == (2, 2, 3)
    assert (first["x"][1, 0, 0], second["x"][0, 0, 0]) == (1, 2)


def test_what_is_due_between_two_calls_is_named(tmp_path):
    loop_config = LoopConfig(batch_size=8, steps=12, log_every=4, eval_every=12, steps_per_call=4)
    config = make_config(tmp_path, train=loop_config, checkpoint=CheckpointConfig(every=8, keep=2))
    check_steps_per_call(config)
    for name, value in (("steps", 10), ("log_every", 6), ("eval_every", 3), ("sample_every", 2)):
        changed = dataclasses.replace(config, train=dataclasses.replace(loop_config, **{name: value}))
        message = rf"train\.{name}={value} does not divide by train\.steps_per_call=4"
        with pytest.raises(UserError, match=message):
            check_steps_per_call(changed)

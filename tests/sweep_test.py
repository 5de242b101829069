import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from clip_folder import make_folder
from training_cli import write_config
from training_configs import make_config

from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import sweep

GRID = Path(__file__).parent.parent / "configs" / "grids" / "small.py"


def test_mean_and_confidence_interval():
    mean, half = sweep.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)  # Student's t, two degrees of freedom
    assert np.isnan(sweep.interval([1.0])[1])


def test_rows_are_files_times_variations(tmp_path):
    config = write_config(tmp_path / "tiny.py", make_config(tmp_path))
    options = sweep.Options(
        (config,),
        tmp_path,
        vary=("loss.motion=paper,vico", "train.batch-size=8,16"),
        override=("train.steps=7",),
    )
    rows = sweep.settings(options)
    assert list(rows)[1] == "tiny loss.motion=paper train.batch-size=16"
    assert [(c.loss.motion, c.train.batch_size) for c in rows.values()] == [
        ("paper", 8),
        ("paper", 16),
        ("vico", 8),
        ("vico", 16),
    ]
    assert {c.train.steps for c in rows.values()} == {7}
    with pytest.raises(UserError, match=r"--vary loss\.motion: not KEY=VALUE"):
        sweep.settings(sweep.Options((config,), tmp_path, vary=("loss.motion",)))


def test_the_small_grid_differs_in_what_it_says():
    rows = sweep.settings(sweep.Options((GRID,), Path()))
    base = rows.pop("lhg_base")
    assert (base.model.levels, base.model.use_text, base.model.use_mfcc) == (
        ("low", "mid", "high"),
        True,
        True,
    )
    assert base.loss.contrastive == "paper" and base.loss.contrastive_weight > 0
    assert rows["ablation_high_level_only"].model.levels == ("high",)
    assert not rows["ablation_no_text"].model.use_text
    assert not rows["ablation_no_mfcc"].model.use_mfcc
    assert not rows["ablation_causal"].model.bidirectional
    assert rows["ablation_no_contrastive"].loss.contrastive_weight == 0
    assert rows["ablation_no_motion_constraint"].loss.motion_options == {"w1": 0.0, "w2": 0.0}
    assert all(
        (c.data, c.train, c.optimizer) == (base.data, base.train, base.optimizer) for c in rows.values()
    )


def test_sweep_goes_on_where_it_was_and_makes_a_table(tmp_path):
    make_folder(tmp_path / "clips")
    config = write_config(tmp_path / "tiny.py", make_config(tmp_path / "clips", steps=2))
    out = tmp_path / "out"
    options = sweep.Options((config,), out, seeds=(0, 1), shards=2, metrics=("L_dec", "nothing"))
    sweep.main(options)
    assert (out / "tiny" / "seed0" / "result.json").exists()
    assert not (out / "tiny" / "seed1").exists()  # another shard's
    before = (out / "tiny" / "seed0" / "result.json").stat().st_mtime_ns
    sweep.main(sweep.Options((config,), out, seeds=(0, 1), metrics=("L_dec", "nothing")))
    assert (out / "tiny" / "seed0" / "result.json").stat().st_mtime_ns == before
    scores = [json.loads((out / "tiny" / f"seed{i}" / "result.json").read_text())["scores"] for i in (0, 1)]
    mean, half = sweep.interval([score["L_dec"] for score in scores])
    assert half > 0
    lines = (out / "table.md").read_text().splitlines()
    assert lines[0] == "| | runs | L_dec | nothing |"
    assert lines[2] == f"| tiny | 2 | {mean:.3g} ± {half:.2g} | – |"
    with (out / "table.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1][0:2] == ["tiny", "L_dec"] and float(rows[1][2]) == mean


def test_shards_are_checked(tmp_path):
    config = write_config(tmp_path / "tiny.py", make_config(tmp_path))
    with pytest.raises(UserError, match="--shard 2 is not in"):
        sweep.main(sweep.Options((config,), tmp_path, shard=2, shards=2))

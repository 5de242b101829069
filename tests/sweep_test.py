import csv
import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro
from clip_folder import make_folder
from training_cli import write_config
from training_configs import make_config

from lhg_jax.config import StartConfig, to_json
from lhg_jax.motion import LANDMARK
from lhg_jax.training.identity import run_identity, write_settings
from lhg_jax.training.loop import open_setup
from lhg_jax.training.objective import make_objective
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import sweep
import sweep_table

ROOT = Path(__file__).parent.parent
GRID = ROOT / "configs" / "grids" / "small.py"


def test_mean_and_confidence_interval():
    mean, half = sweep_table.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)  # Student's t, two degrees of freedom
    assert np.isnan(sweep_table.interval([1.0])[1])


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
    causal = rows["ablation_causal"].data
    assert (causal.train, causal.evaluation) == ("out/bench/causal_train", "out/bench/causal_test")
    alike = dataclasses.replace(causal, train=base.data.train, evaluation=base.data.evaluation)
    assert {alike} | {c.data for name, c in rows.items() if name != "ablation_causal"} == {base.data}
    assert all((c.train, c.optimizer) == (base.train, base.optimizer) for c in rows.values())


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
    mean, half = sweep_table.interval([score["L_dec"] for score in scores])
    assert half > 0
    lines = (out / "table.md").read_text().splitlines()
    assert lines[0] == "|  | runs | min/run | L_dec ↓ | nothing |"
    assert re.fullmatch(rf"\| tiny \| 2 \| \S+ \| {mean:.3g} ± {half:.2g} \| – \|", lines[2])
    with (out / "table.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1][0:2] == ["tiny", "L_dec"] and float(rows[1][2]) == mean


def test_only_some_rows(tmp_path):
    rows = {"one": make_config(tmp_path), "two": make_config(tmp_path)}
    assert sweep.chosen_rows(rows, ()) == ["one", "two"] and sweep.chosen_rows(rows, ("two",)) == ["two"]
    with pytest.raises(UserError, match=r"--only: no row three \(there are one, two\)"):
        sweep.chosen_rows(rows, ("three", "one"))


def test_a_row_may_start_from_another_rows_run(tmp_path):
    start = StartConfig(listener="{out}/paper/seed{seed}/listener.safetensors")
    config = sweep.of_run(make_config(tmp_path, start=start), 3, tmp_path / "out")
    assert config.start.listener == str(tmp_path / "out/paper/seed3/listener.safetensors")
    assert config.train.seed == 3


def test_shards_are_checked(tmp_path):
    config = write_config(tmp_path / "tiny.py", make_config(tmp_path))
    with pytest.raises(UserError, match="--shard 2 is not in"):
        sweep.main(sweep.Options((config,), tmp_path, shard=2, shards=2))


def results(out, rows):
    for name, seed, scores in rows:
        folder = sweep.folder(out, name, seed)
        folder.mkdir(parents=True)
        sweep_table.write_result(folder, name, seed, scores, minutes=6.0)


def test_table_says_what_is_better_and_what_the_true_listener_does(tmp_path):
    names = ["base loss.motion=paper", "base loss.motion=huber"]
    scores = {"L_dec": 1.0, "exp_motion": 0.5, "exp_motion_target": 0.7, "probe_nod_f1": float("nan")}
    results(tmp_path, [(names[0], 0, {**scores, "exp_l1": 0.2}), (names[1], 0, {**scores, "exp_l1": 0.1})])
    failed = {"base loss.motion=vico, seed 0": "no luck"}
    sweep_table.write_table(tmp_path, names, (), failed, hide_losses=True)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "| loss.motion | runs | min/run | exp_motion | probe_nod_f1 ↑ | exp_l1 ↓ |"
    assert lines[2] == "| paper | 1 | 6 | 0.5 | – | 0.2 |"
    assert lines[3] == "| huber | 1 | 6 | 0.5 | – | **0.1** |"
    assert lines[4] == "| *true listener* |  |  | 0.7 |  |  |"
    assert lines[-2:] == [sweep_table.HIDDEN, "Failed: base loss.motion=vico, seed 0: no luck"]


def test_all_settings_are_checked_before_the_first_run(tmp_path, monkeypatch):
    make_folder(tmp_path / "clips")
    config = write_config(tmp_path / "tiny.py", make_config(tmp_path / "clips", steps=2))
    monkeypatch.setattr(sweep, "run", lambda *_: pytest.fail("a run was started"))
    options = sweep.Options((config,), tmp_path / "out", vary=("train.batch_size=8,12",))
    with pytest.raises(UserError, match=r"1 of 2 settings cannot be trained: tiny train.batch_size=12: .*12"):
        sweep.main(options)


def test_results_of_other_settings_are_not_kept_in_silence(tmp_path):
    make_folder(tmp_path / "clips")
    config = make_config(tmp_path / "clips", steps=2)
    workdir = sweep.folder(tmp_path, "tiny", 0)
    results(tmp_path, [("tiny", 0, {})])
    (workdir / "config.json").write_text(to_json(config))
    sweep.check({"tiny": config}, sweep.Options((), tmp_path, seeds=(0,)))
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=3))
    with pytest.raises(UserError, match=r"train.steps was 2 and is now 3 \(choose another --out\)"):
        sweep.check({"tiny": other}, sweep.Options((), tmp_path, seeds=(0,)))


def test_results_of_other_clips_are_not_kept_in_silence(tmp_path):
    make_folder(tmp_path / "clips")
    config = make_config(tmp_path / "clips", steps=2)
    workdir = sweep.folder(tmp_path, "tiny", 0)
    results(tmp_path, [("tiny", 0, {})])
    setup = open_setup(config)
    write_settings(config, run_identity(config, setup.source, setup.held_out), workdir)
    (workdir / "checkpoints" / "2").mkdir(parents=True)
    sweep.check({"tiny": config}, sweep.Options((), tmp_path, seeds=(0,)))
    make_folder(tmp_path / "clips", frames=(9, 12, 7, 8))
    with pytest.raises(UserError, match=r"training clips was \w+ and is now"):
        sweep.check({"tiny": config}, sweep.Options((), tmp_path, seeds=(0,)))


def test_a_failed_run_ends_the_sweep_with_an_error_and_the_others_run(tmp_path, monkeypatch, capsys):
    make_folder(tmp_path / "clips")
    config = write_config(tmp_path / "tiny.py", make_config(tmp_path / "clips", steps=2))
    ran = []

    def fake(name, config, seed, out):
        ran.append(name)
        if "huber" in name:
            raise UserError("10 updates in a row had gradients that are not finite")
        return 0

    monkeypatch.setattr(sweep, "run", fake)
    options = sweep.Options((config,), tmp_path / "out", seeds=(0,), vary=("loss.motion=huber,paper",))
    with pytest.raises(SystemExit) as ended:
        sweep.main(options)
    assert ended.value.code == 1 and len(ran) == 2
    assert "Failed: tiny loss.motion=huber, seed 0: 10 updates" in (tmp_path / "out" / "table.md").read_text()
    assert "error: 1 runs failed" in capsys.readouterr().err


def test_the_sweep_of_the_docs_has_settings_that_can_be_trained(tmp_path):
    """Its losses are changed by name on a config that sets options of another one."""
    text = (ROOT / "docs" / "training.md").read_text()
    command = next(block for block in re.findall(r"```bash\n(.*?)```", text, re.S) if "--vary" in block)
    words = shlex.split(command.replace("\\\n", " "))
    options = tyro.cli(sweep.Options, args=words[2:])
    rows = sweep.settings(options)
    assert len(rows) == 6
    for config in rows.values():
        make_objective(config.loss, LANDMARK)

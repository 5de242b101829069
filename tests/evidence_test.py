import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from evidence_runs import scored
from prepare_helpers import Letters

from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.models.vico_lstm import ViCoConfig
from lhg_jax.simulator.benchmark import TestClip
from lhg_jax.simulator.dyads import synthesise
from lhg_jax.simulator.examples import make_example
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import evidence_clips
import evidence_scores
import evidence_stats as stats
import evidence_table
import sweep

GRID = Path(__file__).parent.parent / "configs" / "grids" / "evidence.py"


def test_rows_of_the_grid_differ_in_what_they_say():
    rows = sweep.settings(sweep.Options((GRID,), Path()))
    assert len(rows) == 12 and list(rows)[:2] == ["paper", "vico_baseline"]
    paper, head = rows.pop("paper"), rows.pop("generative_head")
    assert paper.augment.mirror == 0
    assert paper.loss.contrastive == "paper" and paper.loss.contrastive_weight > 0
    vico = rows["vico_baseline"]
    assert isinstance(vico.model, ViCoConfig) and vico.loss.motion == "vico"
    assert not rows["causal"].model.bidirectional and "causal_" in rows["causal"].data.train
    assert rows["no_contrastive"].loss.contrastive_weight == rows["no_text"].loss.contrastive_weight == 0
    assert {rows[f"contrastive_{name}"].loss.contrastive for name in ("word", "siglip")} == {"word", "siglip"}
    changes = rows["no_motion_constraint"].loss.motion_options
    assert changes == {**paper.loss.motion_options, "w1": 0.0, "w2": 0.0}
    common = (paper.train, paper.optimizer, paper.augment)
    assert all((c.train, c.optimizer, c.augment) == common for c in rows.values())
    assert {c.data for name, c in rows.items() if name != "causal"} == {paper.data}
    assert isinstance(head.model, FlowHeadConfig) and head.model.state == 2 * paper.model.hidden
    assert head.data.train == paper.data.train and "{out}/paper/seed{seed}" in head.start.listener


def test_a_speaker_is_one_observation():
    means = stats.by_speaker([1.0, 3.0, None, 5.0, math.nan], ["b", "b", "b", "a", "c"])
    np.testing.assert_equal(means, [5.0, 2.0, math.nan])


def test_intervals_by_hand():
    one = stats.estimate(np.array([[1.0, 2.0, 3.0]]))
    assert one.mean == 2.0 and one.half == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)
    two = stats.estimate(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))  # means 2 and 4 of the seeds
    over_speakers, over_seeds = 4.302653 / np.sqrt(3), 12.7062
    assert two == (3.0, pytest.approx(np.hypot(over_speakers, over_seeds), rel=1e-5), 2)
    missing = stats.estimate(np.array([[1.0, math.nan, 3.0], [3.0, 9.0, 5.0]]))
    assert missing.mean == 3.0  # the speaker without a value in one seed counts in neither
    assert math.isnan(stats.of_seeds([2.0]).half) and stats.estimate(np.full((1, 2), np.nan)) == stats.NOTHING


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    hard = 10 * rng.normal(size=8)  # some speakers are far harder than others, for everybody alike
    one = {seed: hard + 0.1 * rng.normal(size=8) for seed in (0, 1, 2)}
    other = {seed: values - 1 for seed, values in one.items() if seed}
    found = stats.difference(one, other)
    assert found.mean == pytest.approx(1) and found.seeds == 2 and found.half < 1e-6
    assert stats.estimate(np.stack([*one.values()])).half > 3
    assert stats.difference(one, {}) == stats.NOTHING


def test_overlap():
    one = stats.Estimate(0.0, 0.4, 3)
    assert one.overlaps(stats.Estimate(1.0, 0.61, 3)) and not one.overlaps(stats.Estimate(1.0, 0.59, 3))
    assert one.overlaps(stats.Estimate(1.0, math.nan, 1))  # nobody knows


def test_a_partial_table_says_so_and_every_cell_has_its_runs(tmp_path):
    scored(tmp_path, "paper", 0, nods=0.6, top_1=0.3)
    scored(tmp_path, "paper", 1, nods=0.6)
    scored(tmp_path, "vico_baseline", 0, nods=0.1)
    evidence_table.main(evidence_table.Options(tmp_path))
    text = (tmp_path / "evidence.md").read_text()
    assert text.startswith("**PARTIAL: 3 of 36 runs.** In: paper (seeds 0, 1), vico_baseline (seeds 0).")
    assert "| paper | 2 | 0.7 ± " in text and "| vico_baseline | 1 | 0.2 ± " in text
    assert "| vico_baseline | 1 | -0.5 ± " in text  # minus paper, by seed and speaker
    assert "| paper | 2 | 0.3 | 0.02 |" in text and "no_text" not in text
    assert "PoseL1: 0.175 ± " in text and "overlap" in text
    cells = json.loads((tmp_path / "evidence.json").read_text())["cells"]
    assert all(len(run["config.json"]) == len(run["metrics.jsonl"]) == 64 for c in cells for run in c["runs"])
    assert {(c["row"], c["metric"]) for c in cells} >= {("paper", "top_1"), ("vico_baseline", "exp_frechet")}
    lines = (tmp_path / "evidence.csv").read_text().splitlines()
    digits = evidence_scores.hashes(tmp_path / "paper/seed0")["config.json"][:12]
    assert any(line.startswith("paper,nod_f1,") and digits in line for line in lines)


def test_a_run_that_changed_after_it_was_scored_has_no_cell(tmp_path, capsys):
    scored(tmp_path, "paper", 0)
    other = scored(tmp_path, "no_text", 0)
    (other / "metrics.jsonl").write_text("{}\n")
    assert evidence_scores.is_scored(tmp_path / "paper/seed0") and not evidence_scores.is_scored(other)
    evidence_table.main(evidence_table.Options(tmp_path))
    assert "has changed since it was scored" in capsys.readouterr().err
    assert "| no_text" not in (tmp_path / "evidence.md").read_text()


def test_tables_of_nothing_and_of_different_clips_are_errors(tmp_path):
    with pytest.raises(UserError, match="no run is scored"):
        evidence_table.main(evidence_table.Options(tmp_path))
    scored(tmp_path, "paper", 0)
    folder = scored(tmp_path, "causal", 0)
    scores = json.loads((folder / "scores.json").read_text()) | {"clips_of": "other"}
    (folder / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(UserError, match="scored on different clips"):
        evidence_table.main(evidence_table.Options(tmp_path))


def test_scores_of_the_truth_and_of_a_still_face():
    dyads = [synthesise(5, index) for index in range(3)]
    clips = [TestClip(dyad, make_example(dyad, Letters())) for dyad in dyads]
    about = evidence_clips.HeldOut(SimpleNamespace(), clips, [], ["ann", "bob", "ann"])
    true = evidence_scores.score_motions([dyad.listener.values for dyad in dyads], clips, about)
    still = evidence_scores.score_motions(
        [np.repeat(dyad.listener.values[:1], len(dyad.listener), 0) for dyad in dyads], clips, about
    )
    assert set(known(true, "nod_f1")) <= {1.0}
    assert set(known(still, "nod_f1")) <= {0.0}
    assert true["pooled"]["exp_frechet"] < 1e-9 < still["pooled"]["exp_frechet"]
    assert true["pooled"]["pose_variance"] == 1 and still["pooled"]["pose_variance"] < 1e-6
    assert true["pooled"]["reactivity_net"] > still["pooled"]["reactivity_net"]
    json.dumps(evidence_scores.finite(still), allow_nan=False)
    assert {"simulator", "rules_again", "still", "mirror"} <= {*evidence_clips.references(clips, None)}


def known(scores, name):
    return [value for value in scores["clips"][name] if math.isfinite(value)]

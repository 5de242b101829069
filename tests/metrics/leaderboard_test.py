import numpy as np
import pytest

from lhg_jax.metrics import leaderboard
from lhg_jax.metrics.leaderboard import LISTENING, TALKING_ONLY, rank_teams
from lhg_jax.util.errors import UserError


def test_equals_recordings_with_ties(shared):
    data = np.load(shared / "golden/vico_score.ties.npz")
    by_label = {metric.label: metric for metric in (*LISTENING, *TALKING_ONLY)}
    metrics = tuple(by_label[str(name)] for name in data["in_metric_names"])
    table = {
        f"team{i}": {metric.name: float(x) for metric, x in zip(metrics, row, strict=True)}
        for i, row in enumerate(data["in_table"])
    }
    board = rank_teams(table, metrics)
    ranks = [[board.ranks[team][metric.name] for metric in metrics] for team in table]
    np.testing.assert_array_equal(ranks, data["out_rank"])
    assert [board.scores[team] for team in table] == data["out_score"].tolist()
    assert list(board.scores.values()) == sorted(data["out_score"].tolist())


def test_equals_scipy_on_random_tables():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).integers(0, 5, (9, 20)).astype(float)
    for column in values.T:
        board = rank_teams({f"t{i}": {"fid": x} for i, x in enumerate(column)}, (LISTENING[3],))
        expected = stats.rankdata(column, method="average").astype(int)
        assert [row["fid"] for row in board.ranks.values()] == expected.tolist()


def test_missing_metrics_are_shown_as_missing_and_count_for_nobody():
    table = {
        "a": {"ssim": 0.5, "fid": 30.0, "psnr": 20.0},
        "b": {"ssim": 0.6, "fid": float("nan"), "psnr": 21.0},
        "c": {"ssim": 0.7, "fid": 10.0, "psnr": None},
    }
    board = rank_teams(table)
    assert board.used == ("ssim",)
    assert board.scores == {"c": 1, "b": 2, "a": 3}
    assert board.ranks["b"]["fid"] is None and board.ranks["c"]["fid"] == 1
    assert board.ranks["a"]["csim"] is None


def test_equal_scores_are_ordered_by_name():
    table = {"z": {"ssim": 0.5}, "a": {"ssim": 0.5}}
    assert list(rank_teams(table).scores.items()) == [("a", 1), ("z", 1)]  # both 1.5, cut to 1


def test_rows_from_a_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("team,SSIM,exp_l1,note\nours,0.5,-,x\nthem,0.25,1.5,y\n")
    assert leaderboard.read_rows(path) == {
        "ours": {"ssim": 0.5, "exp_l1": None},
        "them": {"ssim": 0.25, "exp_l1": 1.5},
    }
    path.write_text("team,SSIM\nours,good\n")
    with pytest.raises(UserError, match="'good' is no number"):
        leaderboard.read_rows(path)
    path.write_text("name,SSIM\nours,1\n")
    with pytest.raises(UserError, match="column 'team'"):
        leaderboard.read_rows(path)

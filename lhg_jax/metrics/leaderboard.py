"""The ViCo leaderboard: sum of truncated average ranks over the metrics of a track; smaller is better."""

import dataclasses
import itertools
import math
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np

from lhg_jax.util.csv_table import read_csv_table, require_utf8
from lhg_jax.util.errors import UserError

# Table 1 of the MM '23 report (Chang et al.): the three best of the ViCo 2023 challenge, and the scores that
# stand there. These do not follow from ranking those rows (which gives 15, 17, 22): they come from a larger
# table or another rule.
CHALLENGE = Path(str(resources.files("lhg_jax") / "assets" / "report" / "challenge_2023.csv"))
CHALLENGE_SCORES = (7, 9, 15)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column of the leaderboard.

    Attributes:
      name: as in this package.
      label: as the organisers print it.
      better: where the best value lies; `zero` ranks by the absolute value.
    """

    name: str
    label: str
    better: Literal["larger", "smaller", "zero"]


LISTENING = (
    Metric("ssim", "SSIM", "larger"),
    Metric("cpbd", "CPBD", "larger"),
    Metric("psnr", "PSNR", "larger"),
    Metric("fid", "FID", "smaller"),
    Metric("csim", "CSIM", "larger"),
    Metric("pose_l1", "PoseL1", "smaller"),
    Metric("exp_l1", "ExpL1", "smaller"),
    Metric("pose_frechet", "PoseFD", "smaller"),
    Metric("exp_frechet", "ExpFD", "smaller"),
)
TALKING_ONLY = (
    Metric("av_offset", "AVOffset", "zero"),
    Metric("av_confidence", "AVConf", "larger"),
    Metric("lip_landmark_distance", "LipLMD", "smaller"),
)

Row = Mapping[str, float | None]  # metric name -> value; missing ones are None, NaN or absent


def is_missing(value: float | None) -> bool:
    """Whether a row has no number here."""
    return value is None or math.isnan(value)


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """Ranks and scores of teams.

    Attributes:
      ranks: team -> metric name -> rank from 1, truncated when tied; None where the value is missing.
      scores: team -> sum of ranks over `used`, best first.
      used: names of the metrics that every team has: only these can be summed fairly.
    """

    ranks: dict[str, dict[str, int | None]]
    scores: dict[str, int]
    used: tuple[str, ...]

    @property
    def is_contest(self) -> bool:
        """Whether there is somebody to compare with; ranks and scores of one team mean nothing."""
        return len(self.scores) > 1

    def score(self, team: str) -> int | None:
        """The team's score; None where it is alone."""
        return self.scores[team] if self.is_contest else None


def rank_teams(table: Mapping[str, Row], metrics: tuple[Metric, ...] = LISTENING) -> Leaderboard:
    """Ranks teams by each metric among those that have it; equal scores are ordered by name."""
    columns = {metric.name: _ranks(table, metric) for metric in metrics}
    ranks = {team: {name: column.get(team) for name, column in columns.items()} for team in table}
    used = tuple(name for name, column in columns.items() if len(column) == len(table))
    sums = {team: sum(row[name] or 0 for name in used) for team, row in ranks.items()}
    order = sorted(sums, key=lambda team: (sums[team], team))
    return Leaderboard(ranks, {team: sums[team] for team in order}, used)


def _ranks(table: Mapping[str, Row], metric: Metric) -> dict[str, int]:
    """Average rank of each team that has the metric, cut to a whole number as the official script does."""
    cost = {"larger": lambda x: -x, "smaller": lambda x: x, "zero": abs}[metric.better]
    found = {team: row.get(metric.name) for team, row in table.items()}
    costs = {
        team: cost(value) for team, value in found.items() if value is not None and not is_missing(value)
    }
    values = np.array(list(costs.values()))
    return {
        team: int((values < value).sum() + ((values == value).sum() + 1) / 2) for team, value in costs.items()
    }


def read_rows(path: str | os.PathLike) -> dict[str, dict[str, float | None]]:
    """Rows of other systems from a csv: a column `team`, and columns named as or labelled like the metrics.

    Cells are separated by commas, semicolons or tabs; with the last two, 0,5 is 0.5. In the header small and
    capital letters are one. Empty cells, `-` and `nan` are missing.

    Raises:
      UserError: no such column or no row, a team that is named twice or not at all, or a cell that is no
        number.
    """
    table = read_csv_table(path := Path(path))
    require_utf8(path, table)
    names = {label.lower(): metric.name for metric in LISTENING for label in (metric.name, metric.label)}
    columns = [name.lower() for name in table.header]
    if "team" not in columns or not table.rows:
        raise UserError(f"{path}: needs a header with a column 'team' and one row or more")
    found: dict[str, dict[str, float | None]] = {}
    for number, cells in table.rows:
        where, row = f"{path}: line {number}", dict(itertools.zip_longest(columns, cells, fillvalue=""))
        if len(cells) > len(columns):
            raise UserError(f"{where} has {len(cells)} cells for {len(columns)} columns")
        if not (team := row["team"]) or team in found:
            raise UserError(f"{where}: team {team!r} is there twice" if team else f"{where} has no team")
        scores = {names[name]: text for name, text in row.items() if name in names}
        found[team] = {name: _number(where, text, table.delimiter) for name, text in scores.items()}
    return found


def _number(where: str, text: str, delimiter: str) -> float | None:
    if text.lower() in ("", "-", "nan"):
        return None
    try:
        return float(text if delimiter == "," else text.replace(",", "."))
    except ValueError:
        hint = " (decimal commas need semicolons between the cells)" if "," in text else ""
        raise UserError(f"{where}: {text!r} is no number{hint}") from None

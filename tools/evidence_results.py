"""What tools/evidence_scores.py has left in a sweep's folder, read again: rows, and cells with intervals."""

import json
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from evidence_columns import Column
from evidence_scores import REFERENCES, SCORES, hashes
from evidence_stats import NOTHING, Estimate, by_speaker, difference, estimate, of_seeds

from lhg_jax.config_files import find_config
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import warn

GRID = "grids/evidence.py"
SEEDS = (0, 1, 2)

Row = Mapping[int, Mapping[str, Any]]  # seed -> what scores.json holds


class Evidence(NamedTuple):
    """What a sweep has shown so far.

    Attributes:
      table: rows of the grid, also those without a run.
      others: listeners that were not trained.
      seeds: of a whole table.
      paper: name of the row that others are compared with.
      baseline: name of the baseline's.
    """

    table: Mapping[str, Row]
    others: Mapping[str, Row]
    seeds: Sequence[int]
    paper: str
    baseline: str

    @property
    def every(self) -> dict[str, Row]:
        """All rows."""
        return {**self.table, **self.others}

    @property
    def compared(self) -> dict[str, Row]:
        """Rows with a run, but for the paper's; none where that has no run."""
        if not self.table[self.paper]:
            return {}
        return {name: row for name, row in self.table.items() if name != self.paper and row}


def read_evidence(sweep: Path, grid: str, seeds: Sequence[int]) -> Evidence:
    """Raises `UserError` where no run is scored, or not all on the same clips."""
    names, paper, baseline = rows_of_grid(grid)
    found = Evidence(
        {name: read_row(sweep, name, seeds) for name in names}, read_references(sweep), seeds, paper, baseline
    )
    if not any(found.table.values()):
        raise UserError(f"{sweep}: no run is scored (tools/evidence_scores.py)")
    check_clips([*found.every.values()])
    return found


def rows_of_grid(grid: str) -> tuple[list[str], str, str]:
    """Names of all rows, of the one that others are compared with, and of the baseline."""
    found = runpy.run_path(str(find_config(grid)))
    return list(found["configs"]), found["PAPER"], found["BASELINE"]


def read_row(sweep: Path, name: str, seeds: Sequence[int]) -> Row:
    """The scored runs of a row; one that is no longer what was scored is left out, with a warning."""
    row = {}
    for seed in seeds:
        workdir = sweep / name / f"seed{seed}"
        if not (workdir / SCORES).exists():
            continue
        scores = read_scores(workdir)
        if scores.get("hashes") != hashes(workdir):
            warn(f"{workdir}: has changed since it was scored: left out (score it again)")
            continue
        row[seed] = scores
    return row


def read_references(sweep: Path) -> dict[str, Row]:
    """Listeners that were not trained."""
    folders = sorted((sweep / REFERENCES).glob(f"*/{SCORES}"))
    return {path.parent.name: {0: read_scores(path.parent)} for path in folders}


def read_scores(folder: Path) -> Mapping[str, Any]:
    """What tools/evidence_scores.py left. Raises `UserError` where it cannot be read."""
    try:
        return json.loads((folder / SCORES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / SCORES}: cannot be read ({error})") from error


def check_clips(rows: Sequence[Row]) -> None:
    """Raises `UserError` where some were scored on other clips than the others."""
    marks = {(scores["clips_of"], len(scores["speakers"])) for row in rows for scores in row.values()}
    if len(marks) > 1:
        raise UserError("the runs were scored on different clips (remove scores.json, and score them again)")


def of_runs(row: Row, column: Column) -> dict[int, Any]:
    """Seed -> a value by speaker, or one for all clips together; without the runs that have none."""
    found = {}
    for seed, scores in row.items():
        value = scores.get(column.part, {}).get(column.name)
        if value is not None:
            found[seed] = by_speaker(value, scores["speakers"]) if column.part == "clips" else value
    return found


def estimated(row: Row, column: Column) -> Estimate:
    """A cell."""
    found = [*of_runs(row, column).values()]
    if not found:
        return NOTHING
    return estimate(np.stack(found)) if column.part == "clips" else of_seeds(found)


def paired(row: Row, other: Row, column: Column) -> Estimate:
    """A cell of the table of differences."""
    return difference(of_runs(row, column), of_runs(other, column))


def runs(table: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Every run that is in, with the hashes of what it left."""
    return [
        {
            "name": name,
            "seed": seed,
            "minutes": scores["minutes"],
            "training": scores["training"],
            "config": scores["hashes"]["config.json"],
            "log": scores["hashes"]["metrics.jsonl"],
        }
        for name, row in table.items()
        for seed, scores in row.items()
    ]

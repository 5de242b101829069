"""The evidence grid's tables, of whatever is scored: Markdown for people, CSV and JSON for programs.

  python tools/evidence_table.py --sweep out/evidence/sweep

Writes evidence.md, evidence.csv and evidence.json into that folder. A table that lacks runs says so in its
first line. A cell is of runs alone whose config.json and metrics.jsonl are what they were when scored.
"""

import csv
import dataclasses
import io
import json
import math
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from evidence_scores import REFERENCES, SCORES, finite, hashes
from evidence_stats import NOTHING, Estimate, by_speaker, difference, estimate, of_seeds

from lhg_jax.config import find_config
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import say, warn

GRID = "grids/evidence.py"
SEEDS = (0, 1, 2)


class Column(NamedTuple):
    """One metric: where it is in `scores.json`, its head, and which way is better ('' where neither is)."""

    part: str
    name: str
    label: str
    better: str = ""


RULES = (
    Column("clips", "nod_f1", "nod F1", "↑"),
    Column("clips", "shake_f1", "shake F1", "↑"),
    Column("clips", "smile_correlation", "smile", "↑"),
    Column("clips", "mirror_correlation", "mirroring", "↑"),
    Column("clips", "blink_recall", "blinks", "↑"),
    Column("clips", "exp_l1", "ExpL1", "↓"),
    Column("clips", "pose_l1", "PoseL1", "↓"),
)
POOLED = (
    Column("pooled", "exp_frechet", "ExpFD", "↓"),
    Column("pooled", "pose_frechet", "PoseFD", "↓"),
    Column("pooled", "reactivity_net", "reactivity, net", "↑"),
    Column("pooled", "reactivity_p", "p", "↓"),
    Column("pooled", "nods_per_min", "nods/min"),
    Column("pooled", "speed", "°/s"),
)
NEWER = (
    Column("pooled", "exp_fd_video", "Exp FD (video)", "↓"),
    Column("pooled", "pose_fd_video", "Pose FD (video)", "↓"),
    Column("pooled", "exp_pfd_video", "Exp P-FD", "↓"),
    Column("pooled", "pose_pfd_video", "Pose P-FD", "↓"),
    Column("pooled", "exp_rpcc_video", "Exp rPCC", "↓"),
    Column("pooled", "pose_rpcc_video", "Pose rPCC", "↓"),
    Column("pooled", "exp_variance", "Exp Var ratio"),
    Column("pooled", "pose_variance", "Pose Var ratio"),
    Column("pooled", "exp_sid", "Exp SID ratio"),
    Column("pooled", "pose_sid", "Pose SID ratio"),
    Column("pooled", "nod_r_f1", "nod R-F1", "↑"),
    Column("pooled", "shake_r_f1", "shake R-F1", "↑"),
    Column("pooled", "frdiv", "FRDiv"),
)
RETRIEVAL = (
    Column("retrieval", "top_1", "top 1", "↑"),
    Column("retrieval", "chance_1", "chance"),
    Column("retrieval", "top_5", "top 5", "↑"),
    Column("retrieval", "chance_5", "chance"),
    Column("retrieval", "items", "words"),
)
BAR = ("pose_l1", "nod_f1", "shake_f1")  # in which paper and baseline should differ beyond chance


@dataclasses.dataclass(frozen=True)
class Options:
    """What to make a table of."""

    sweep: Path
    """Folder of tools/sweep.py, scored by tools/evidence_scores.py."""
    grid: str = GRID
    """The grid, whose rows the table has and names those that are missing."""
    seeds: tuple[int, ...] = SEEDS
    """Of a whole table."""


Row = Mapping[int, Mapping[str, Any]]  # seed -> what scores.json holds


def main(options: Options) -> None:
    names, paper, baseline = rows_of_grid(options.grid)
    table = {name: read_row(options.sweep, name, options.seeds) for name in names}
    others = read_references(options.sweep)
    if not any(table.values()):
        raise UserError(f"{options.sweep}: no run is scored (tools/evidence_scores.py)")
    check_clips([*table.values(), *others.values()])
    text = markdown(table, others, options.seeds, paper, baseline)
    records = list(cells(table, others))
    save(options.sweep / "evidence.md", text)
    save(options.sweep / "evidence.csv", as_csv(records))
    save(
        options.sweep / "evidence.json", json.dumps(finite({"cells": records, "runs": runs(table)}), indent=1)
    )
    say(f"{options.sweep}/evidence.md, evidence.csv, evidence.json")


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


def markdown(
    table: Mapping[str, Row], others: Mapping[str, Row], seeds: Sequence[int], paper: str, baseline: str
) -> str:
    """All tables."""
    every = {**table, **others}
    minus = {name: row for name, row in table.items() if name != paper and row and table[paper]}
    asked = {name: row for name, row in table.items() if any(run.get("retrieval") for run in row.values())}
    parts = [
        completeness(table, seeds),
        block("", RULES, every, estimated),
        block("", POOLED, every, estimated),
        block(
            f"Minus `{paper}`, by seed and speaker:", RULES, minus, lambda r, c: paired(r, table[paper], c)
        ),
        verdict(table, paper, baseline),
        block("Newer metrics:", NEWER, every, estimated),
        block("Text to audio:", RETRIEVAL, asked, estimated),
        provenance(table),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def completeness(table: Mapping[str, Row], seeds: Sequence[int]) -> str:
    """Which runs are in, and which are not."""
    missing = [f"{name} {seed}" for name, row in table.items() for seed in seeds if seed not in row]
    total = len(table) * len(seeds)
    if not missing:
        return f"Whole: {total} runs."
    listed = ", ".join(f"{name} (seeds {', '.join(map(str, row))})" for name, row in table.items() if row)
    return f"**PARTIAL: {total - len(missing)} of {total} runs.** In: {listed}."


def verdict(table: Mapping[str, Row], paper: str, baseline: str) -> str:
    """Whether the intervals of the paper's listener and of the baseline overlap, column by column."""
    if not (table[paper] and table[baseline]):
        return f"`{paper}` and `{baseline}` cannot be compared yet."
    lines = []
    for column in RULES:
        if column.name in BAR:
            one, two = (estimated(table[name], column) for name in (paper, baseline))
            word = "overlap" if one.overlaps(two) else "do not overlap"
            lines.append(f"{column.label}: {cell(one)} and {cell(two)} {word}")
    return f"Intervals of `{paper}` and `{baseline}`: " + "; ".join(lines) + "."


def block(
    title: str,
    columns: Sequence[Column],
    rows: Mapping[str, Row],
    of: Callable[[Row, Column], Estimate],
) -> str:
    """One table; nothing where it has no rows."""
    if not any(rows.values()):
        return ""
    heads = [f"{column.label} {column.better}".strip() for column in columns]
    lines = [f"| | seeds | {' | '.join(heads)} |", "|---" + "|---:" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        if row:
            cells_of_row = " | ".join(cell(of(row, column)) for column in columns)
            lines.append(f"| {name} | {len(row)} | {cells_of_row} |")
    return "\n".join([title, "", *lines] if title else lines)


def cell(found: Estimate) -> str:
    """Three figures, rounding errors as 0; the interval where it is known."""
    if not math.isfinite(found.mean):
        return "–"
    mean = found.mean if abs(found.mean) > 1e-9 else 0.0
    return f"{mean:.3g}" + (f" ± {found.half:.2g}" if math.isfinite(found.half) else "")


def provenance(table: Mapping[str, Row]) -> str:
    """Which runs the cells are of."""
    lines = ["| run | minutes | config.json | metrics.jsonl |", "|---|---:|---|---|"]
    for run in runs(table):
        lines.append(
            f"| {run['name']} {run['seed']} | {run['minutes']:.1f} | {run['config']:.12} | {run['log']:.12} |"
        )
    return "\n".join(["Runs, with the first digits of the sha256 of their files:", "", *lines])


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


def cells(table: Mapping[str, Row], others: Mapping[str, Row]) -> list[dict[str, Any]]:
    """All numbers, each with the hashes of the runs it is of."""
    found = []
    for name, row in {**table, **others}.items():
        marks = [scores.get("hashes") for scores in row.values()]
        for column in (*RULES, *POOLED, *NEWER, *RETRIEVAL):
            value = estimated(row, column)
            if math.isfinite(value.mean):
                about = {"row": name, "metric": column.name, "seeds": list(row)}
                found.append(about | {"mean": value.mean, "half_interval": value.half, "runs": marks})
    return found


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """One line a cell; hashes of its runs by their first digits."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["row", "metric", "mean", "half_interval", "seeds", "config.json", "metrics.jsonl"])
    for record in records:
        marks = [run for run in record["runs"] if run]
        short = [" ".join(run[name][:12] for run in marks) for name in ("config.json", "metrics.jsonl")]
        seeds = " ".join(map(str, record["seeds"]))
        writer.writerow(
            [record["row"], record["metric"], record["mean"], record["half_interval"], seeds, *short]
        )
    return file.getvalue()


def save(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/evidence_table.py", description=__doc__)))

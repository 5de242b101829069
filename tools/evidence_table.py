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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from evidence_columns import BAR, NEWER, POOLED, RETRIEVAL, RULES, Column
from evidence_results import GRID, SEEDS, Evidence, Row, estimated, paired, read_evidence, runs
from evidence_scores import finite
from evidence_stats import Estimate

from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import run_cli
from lhg_jax.util.progress import say


@dataclasses.dataclass(frozen=True)
class Options:
    """What to make a table of."""

    sweep: Path
    """Folder of tools/sweep.py, scored by tools/evidence_scores.py."""
    grid: str = GRID
    """The grid, whose rows the table has and names those that are missing."""
    seeds: tuple[int, ...] = SEEDS
    """Of a whole table."""


def main(options: Options) -> None:
    found = read_evidence(options.sweep, options.grid, options.seeds)
    records = list(cells(found.table, found.others))
    save(options.sweep / "evidence.md", markdown(found))
    save(options.sweep / "evidence.csv", as_csv(records))
    content = {"cells": records, "runs": runs(found.table)}
    save(options.sweep / "evidence.json", json.dumps(finite(content), indent=1))
    say(f"{options.sweep}/evidence.md, evidence.csv, evidence.json")


def markdown(found: Evidence) -> str:
    """All tables."""
    table, paper = found.table, found.paper
    asked = {name: row for name, row in table.items() if any(run.get("retrieval") for run in row.values())}

    def minus(row: Row, column: Column) -> Estimate:
        return paired(row, table[paper], column)

    parts = [
        completeness(table, found.seeds),
        block("", RULES, found.every, estimated),
        block("", POOLED, found.every, estimated),
        block(f"Minus `{paper}`, by seed and speaker:", RULES, found.compared, minus),
        verdict(table, paper, found.baseline),
        block("Newer metrics:", NEWER, found.every, estimated),
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

"""Trains a small grid of settings and seeds, one after the other or as a SLURM array, and makes one table.

  python tools/sweep.py configs/lhg_base.py --vary loss.contrastive=paper,infonce,siglip --seeds 0 1 2 \
      --out out/losses --override train.steps=5000

A file defines `config`, or a dictionary `configs` of several. Finished runs are kept, interrupted ones go on
from their newest save. In a SLURM array give every task `--shard $SLURM_ARRAY_TASK_ID --shards N`, and call
once more with `--table-only` at the end.
"""

import csv
import dataclasses
import itertools
import json
import runpy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.stats
import tyro

from lhg_jax.config import TrainConfig, load_config, with_overrides
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import console, warn

RESULT = "result.json"
LEVEL = 0.95  # of confidence intervals


@dataclasses.dataclass(frozen=True)
class Options:
    """Which runs, and where."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Settings: files of configs/ or configs/grids/."""
    out: Path
    """A folder for each run, table.md and table.csv."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each setting is trained once with each."""
    vary: tuple[str, ...] = ()
    """KEY=VALUE,VALUE,...: every setting with each of the values; several of these are multiplied."""
    override: tuple[str, ...] = ()
    """KEY=VALUE for all runs, e.g. train.steps=500."""
    metrics: tuple[str, ...] = ()
    """Columns of the table; empty: all that an evaluation reports."""
    shard: int = 0
    """This call's share of the runs: number `shard`, `shard + shards`, ..."""
    shards: int = 1
    """Number of calls that share the runs."""
    table_only: bool = False
    """Train nothing, write the table of what is there."""


def settings(options: Options) -> dict[str, TrainConfig]:
    """Name of a row -> its settings. Raises `UserError` for files, keys or values that make no sense."""
    configs: dict[str, TrainConfig] = {}
    for path in options.files:
        several = runpy.run_path(str(path)).get("configs") if path.is_file() else None
        configs |= several or {path.stem: load_config(path)}
    choices = [
        [f"{key}={value}" for value in values.split(",")] for key, _, values in map(_split, options.vary)
    ]
    rows = {}
    for (name, config), chosen in itertools.product(configs.items(), itertools.product(*choices)):
        row = " ".join([name, *chosen])
        rows[row] = with_overrides(config, [*options.override, *chosen])
    return rows


def run(name: str, config: TrainConfig, seed: int, out: Path) -> bool:
    """One run, unless it is finished already; False where it was told to stop. Leaves result.json."""
    from lhg_jax.training.loop import train

    workdir = out / name.replace(" ", ",") / f"seed{seed}"
    if (workdir / RESULT).exists():
        return True
    console.print(f"{name}, seed {seed}")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))
    summary = train(config, workdir)
    if summary.finished:
        write_result(workdir, name, seed, last_evaluation(workdir))
    return summary.finished


def last_evaluation(workdir: Path) -> dict[str, float]:
    """Scores after the last step; from the file, because a run killed after its last save has no others."""
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "eval"]
    return {key: value for key, value in rows[-1].items() if key not in ("step", "kind")} if rows else {}


def write_result(workdir: Path, name: str, seed: int, scores: dict[str, float]) -> None:
    """Leaves what `gather` reads."""
    with replacing(workdir / RESULT) as temporary:
        temporary.write_text(json.dumps({"name": name, "seed": seed, "scores": scores}), encoding="utf-8")


def gather(out: Path) -> dict[str, dict[str, list[float]]]:
    """Row -> metric -> one value a finished run, rows in the order of their names."""
    table: dict[str, dict[str, list[float]]] = {}
    for path in sorted(out.glob(f"*/seed*/{RESULT}")):
        result = json.loads(path.read_text(encoding="utf-8"))
        row = table.setdefault(result["name"], {})
        for metric, value in result["scores"].items():
            row.setdefault(metric, []).append(value)
    return table


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its confidence interval by Student's t; NaN for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    spread = scipy.stats.sem(values) * scipy.stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return float(np.mean(values)), float(spread)


def write_table(out: Path, order: Sequence[str], metrics: Sequence[str]) -> None:
    """Writes table.md (mean ± half interval) and table.csv (mean, half interval, runs); known rows first."""
    table = gather(out)
    rows = [name for name in order if name in table] + [name for name in table if name not in order]
    metrics = metrics or list(dict.fromkeys(metric for row in table.values() for metric in row))
    lines = ["| | runs | " + " | ".join(metrics) + " |", "|---|---:" + "|---:" * len(metrics) + "|"]
    records = []
    for name in rows:
        cells = []
        for metric in metrics:
            values = table[name].get(metric, [])
            mean, half = interval(values) if values else (float("nan"), float("nan"))
            records.append([name, metric, mean, half, len(values)])
            cells.append(_cell(mean, half))
        runs = max((len(values) for values in table[name].values()), default=0)
        lines.append(f"| {name} | {runs} | " + " | ".join(cells) + " |")
    with replacing(out / "table.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with replacing(out / "table.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["name", "metric", "mean", "half_interval", "runs"], *records])


def _cell(mean: float, half: float) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.3g}" if np.isnan(half) else f"{mean:.3g} ± {half:.2g}"


def _split(item: str) -> tuple[str, str, str]:
    key, equals, values = item.partition("=")
    if not (key and equals and values):
        raise UserError(f"--vary {item}: not KEY=VALUE,VALUE")
    return key, equals, values


def main(options: Options) -> None:
    rows = settings(options)
    runs = [(name, seed) for seed in options.seeds for name in rows]  # every row once, then once more
    if not 0 <= options.shard < options.shards:
        raise UserError(f"--shard {options.shard} is not in [0, --shards {options.shards})")
    for name, seed in [] if options.table_only else runs[options.shard :: options.shards]:
        try:
            if not run(name, rows[name], seed, options.out):
                break
        except UserError as error:  # of this run alone; the table says how many there are
            warn(f"{name}, seed {seed}: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    write_table(options.out, list(rows), options.metrics)
    console.print(f"{options.out}/table.md, table.csv")


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))

"""The table of a sweep: a row for each setting, means over seeds, which way is better, the best in bold."""

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.stats

from lhg_jax.util.atomic import replacing

RESULT = "result.json"
SECONDS = ("data_s", "step_s", "save_s", "eval_s")  # of a line of metrics.jsonl
LEVEL = 0.95  # of confidence intervals
TARGET = "_target"  # ending of what is measured on the true listener, not on the predicted one
LOSSES = ("L_dec", "L_const")
LOWER = ("_l1", "_frechet", "_error", "_error_s", *LOSSES)
HIGHER = ("_f1", "_correlation", "_recall")
Means = Mapping[str, Mapping[str, tuple[float, float]]]  # metric -> row -> mean, half interval

NOTE = "Mean ± half of the 95 % confidence interval over seeds; arrows: which way is better; bold: the best."
HIDDEN = "The losses themselves are left out: they differ between rows, so their values cannot be compared."


@dataclasses.dataclass(frozen=True)
class Row:
    """What finished runs of one setting have: metric -> a value a run, and the minutes that each took."""

    values: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    minutes: list[float] = dataclasses.field(default_factory=list)


def read_metrics(workdir: Path) -> tuple[dict[str, float], float]:
    """Scores after the last step, and minutes of training, without compiling the step.

    From the file: a run that was interrupted knows only its last part.
    """
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    evaluations = [row for row in rows if row["kind"] == "eval"]
    last = evaluations[-1] if evaluations else {}
    scores = {k: math.nan if v is None else v for k, v in last.items() if k not in ("step", "kind")}
    trained = (row.items() for row in rows if row["kind"] == "train")
    seconds = (value for items in trained for key, value in items if key in SECONDS and value)
    return scores, sum(seconds) / 60


def write_result(workdir: Path, name: str, seed: int, scores: dict[str, float], minutes: float = 0.0) -> None:
    """Leaves what `gather` reads."""
    finite = {key: value if math.isfinite(value) else None for key, value in scores.items()}
    result = {"name": name, "seed": seed, "minutes": minutes, "scores": finite}
    with replacing(workdir / RESULT) as temporary:
        temporary.write_text(json.dumps(result), encoding="utf-8")


def gather(out: Path) -> dict[str, Row]:
    """Finished runs by the names of their settings, in the order of these."""
    table: dict[str, Row] = {}
    for path in sorted(out.glob(f"*/seed*/{RESULT}")):
        result = json.loads(path.read_text(encoding="utf-8"))
        row = table.setdefault(result["name"], Row())
        row.minutes.append(result.get("minutes", 0.0))
        for metric, value in result["scores"].items():
            row.values.setdefault(metric, []).append(math.nan if value is None else value)
    return table


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its confidence interval by Student's t; NaN for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    spread = scipy.stats.sem(values) * scipy.stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return float(np.mean(values)), float(spread)


def direction(metric: str) -> str:
    """`↓` or `↑` for the better way; nothing where neither is."""
    return "↓" if metric.endswith(LOWER) else "↑" if metric.endswith(HIGHER) else ""


def write_table(
    out: Path,
    order: Sequence[str],
    metrics: Sequence[str],
    failed: Mapping[str, str] = {},
    *,
    hide_losses: bool = False,
) -> None:
    """Writes table.md for people and table.csv (mean, half interval, runs) for programs.

    Args:
      out: folder of the sweep.
      order: rows that come first; others that are there follow.
      metrics: columns; empty: all there are.
      failed: runs that failed, and why.
      hide_losses: leave the losses out of table.md, where `metrics` does not ask for them.
    """
    table = gather(out)
    names = [name for name in order if name in table] + [name for name in table if name not in order]
    found = list(dict.fromkeys(metric for name in names for metric in table[name].values))
    shown = list(metrics) or [m for m in found if not (m.endswith(TARGET) or (hide_losses and m in LOSSES))]
    means = {
        metric: {name: interval(table[name].values.get(metric) or [math.nan]) for name in names}
        for metric in dict.fromkeys([*shown, *found])
    }
    lines = _head(order, shown)
    lines += [_row(name, table[name], _label(name, order), shown, means) for name in names]
    if any(f"{metric}{TARGET}" in means for metric in shown):
        lines.append(_line("*true listener*", "", "", *(_target(metric, means) for metric in shown)))
    lines += ["", NOTE, *([HIDDEN] if hide_losses and not metrics else [])]
    lines += [f"Failed: {name}: {why}" for name, why in failed.items()]
    with replacing(out / "table.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_csv(out / "table.csv", table, means)


def _write_csv(path: Path, table: Mapping[str, Row], means: Means) -> None:
    records = [
        [name, metric, *means[metric][name], len(table[name].values.get(metric, []))]
        for name in table
        for metric in means
    ]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["name", "metric", "mean", "half_interval", "runs"], *records])


def _row(name: str, row: Row, label: str, shown: Sequence[str], means: Means) -> str:
    cells = [_cell(*means[metric][name], name in _best(metric, means[metric])) for metric in shown]
    minutes = np.mean(row.minutes)
    return _line(label, str(len(row.minutes)), f"{minutes:.3g}" if minutes else "–", *cells)


def _head(order: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Two lines; the first column is named by the keys that are varied."""
    keys = [word.partition("=")[0] for word in order[0].split(" ")[1:]] if order else []
    columns = [f"{metric} {direction(metric)}".strip() for metric in shown]
    return [_line(", ".join(keys), "runs", "min/run", *columns), "|---" + "|---:" * (2 + len(shown)) + "|"]


def _label(name: str, order: Sequence[str]) -> str:
    """A row without the keys, which stand in the head, and without a file that all rows share."""
    if name not in order or "=" not in name:
        return name
    file, *chosen = name.split(" ")
    values = ", ".join(word.partition("=")[2] for word in chosen)
    return values if len({other.split(" ")[0] for other in order}) == 1 else f"{file}: {values}"


def _best(metric: str, means: Mapping[str, tuple[float, float]]) -> list[str]:
    """The row with the best mean; none where there is one row only, or no better way."""
    finite = {name: mean for name, (mean, _) in means.items() if math.isfinite(mean)}
    if len(finite) < 2 or not direction(metric):
        return []
    return [(min if direction(metric) == "↓" else max)(finite, key=finite.__getitem__)]


def _target(metric: str, means: Means) -> str:
    """What the true listener has: the same for all rows but for rounding."""
    values = [mean for mean, _ in means.get(f"{metric}{TARGET}", {}).values() if math.isfinite(mean)]
    return _cell(float(np.mean(values)), math.nan, False) if values else ""


def _cell(mean: float, half: float, best: bool) -> str:
    if math.isnan(mean):
        return "–"
    text = f"{mean:.3g}" if math.isnan(half) else f"{mean:.3g} ± {half:.2g}"
    return f"**{text}**" if best else text


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"

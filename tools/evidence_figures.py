"""Figures of the evidence report: means with intervals, courses of training, curves of single clips."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from evidence_columns import BAR, RULES, Column
from evidence_results import Row, estimated
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.simulator.curves import frame_times
from lhg_jax.simulator.dyads import Dyad
from lhg_jax.simulator.rule_scores import controls

FLOORS = ("still", "mean", "random_clip", "nearest_audio", "mirror")
CEILING = "rules_again"
TRUE, COLOURS = "black", ("tab:blue", "tab:orange", "tab:green")
LEAST = (8.0, 8.0, 0.5, 1.1)  # heights of the panels: a still head shall look still
EVENTS = {"nod": "tab:green", "shake": "tab:red", "blink": "tab:gray"}


def png(figure: Figure) -> str:
    """As the source of an <img>."""
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def means(table: Mapping[str, Row], others: Mapping[str, Row]) -> Figure:
    """A panel for each score and error: a dot a row with its interval, ceiling and best floor as lines."""
    rows = {name: row for name, row in table.items() if row}
    figure = Figure(figsize=(12.0, 1.6 + 0.46 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(RULES), sharey=True)
    for axes, column in zip(panels, RULES, strict=True):
        for place, row in enumerate(rows.values()):
            found = estimated(row, column)
            half = found.half if np.isfinite(found.half) else 0.0
            colour = "tab:blue" if column.name in BAR else "tab:gray"
            axes.errorbar(found.mean, place, xerr=half, fmt="o", ms=4, capsize=3, color=colour)
        _lines(axes, column, others)
        axes.set_title(f"{column.label} {column.better}", fontsize=10)
        axes.tick_params(axis="x", labelsize=8)
        axes.locator_params(axis="x", nbins=3)
        axes.grid(axis="y", alpha=0.25)
    panels[0].set_yticks(range(len(rows)), [*rows], fontsize=9)
    panels[0].invert_yaxis()
    return figure


def _lines(axes: Axes, column: Column, others: Mapping[str, Row]) -> None:
    """The ceiling dashed, the best of the listeners that hear nothing dotted."""
    floors = [estimated(others[name], column).mean for name in FLOORS if name in others]
    best = max if column.better == "↑" else min
    if CEILING in others:
        axes.axvline(estimated(others[CEILING], column).mean, ls="--", lw=1, color="black")
    if floors:
        axes.axvline(best(floors), ls=":", lw=1.2, color="tab:red")


def courses(sweep: Path, table: Mapping[str, Row]) -> Figure:
    """Errors of pose and expression on the validation clips, by step, of each run; a row has one colour."""
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for number, (name, row) in enumerate(table.items()):
        color = colormaps["tab20"](number)
        for seed in row:
            steps, lines = evaluations(sweep / name / f"seed{seed}" / "metrics.jsonl")
            for axes, metric in zip(panels, ("pose_l1", "exp_l1"), strict=True):
                if metric in lines:
                    label = name if seed == min(row) else None
                    axes.plot(steps, lines[metric], "o-", ms=3, lw=1, label=label, color=color)
    for axes, title in zip(panels, ("PoseL1", "ExpL1"), strict=True):
        axes.set_title(f"{title}, validation clips", fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.set_ylim(bottom=0)  # after the last curve: it fixes the top
    panels[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def evaluations(path: Path) -> tuple[list[int], dict[str, list[float]]]:
    """Steps, and metric -> values, of the evaluations in a metrics.jsonl."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if line["kind"] == "eval"]
    names = {name for line in found for name in line} - {"kind", "step"}
    return [line["step"] for line in found], {
        name: [np.nan if line.get(name) is None else line[name] for line in found] for name in names
    }


def curves(dyad: Dyad, motions: Mapping[str, np.ndarray]) -> Figure:
    """Pitch, yaw, smile and blink of the true listener and of others, with what the rules answer."""
    figure = Figure(figsize=(11.0, 6.4), layout="constrained")
    panels = figure.subplots(4, 1, sharex=True)
    drawn = {"simulator": dyad.listener.values, **motions}
    for name, colour in zip(drawn, (TRUE, *COLOURS), strict=False):
        for axes, (label, curve) in zip(panels, shown(drawn[name]).items(), strict=True):
            width = 1.8 if name == "simulator" else 1.1
            axes.plot(frame_times(len(curve)), curve, lw=width, color=colour, label=name)
            axes.set_ylabel(label, fontsize=9)
    for event in dyad.events:
        if event.kind in EVENTS:
            axes = panels[{"nod": 0, "shake": 1, "blink": 3}[event.kind]]
            end_s = event.time_s + (event.duration_s or dyad.params.blink_s)
            axes.axvspan(event.time_s, end_s, color=EVENTS[event.kind], alpha=0.13, lw=0)
    for axes, least in zip(panels, LEAST, strict=True):
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, (low + high - least) / 2), max(high, (low + high + least) / 2))
    _words(panels, dyad)
    panels[-1].set_xlabel("s", fontsize=9)
    figure.legend(*panels[-1].get_legend_handles_labels(), fontsize=8, ncols=4, loc="outside upper right")
    return figure


def _words(panels: Sequence[Axes], dyad: Dyad) -> None:
    """Those that a shake or a smile answers, in the panels of these."""
    for number, word in enumerate(dyad.speech.words):
        for axes, is_answered in ((panels[1], word.negates), (panels[2], bool(word.valence))):
            if is_answered:
                where = axes.get_xaxis_transform()
                axes.text(
                    word.start_s,
                    (0.04, 0.13, 0.22)[number % 3],
                    word.text,
                    transform=where,
                    size=7,
                    color="tab:blue",
                )


def shown(values: np.ndarray) -> dict[str, np.ndarray]:
    """What the panels of `curves` show: degrees from the first frame, shares of a full action."""
    motion = Motion(LANDMARK, values, FRAME_RATE)
    angle = np.rad2deg(motion.part("angle") - motion.part("angle")[0])
    actions = controls(motion)
    return {
        "pitch, °": angle[:, 0],
        "yaw, °": angle[:, 1],
        "smile − frown": actions["smile"] - actions["frown"],
        "blink": actions["blink"],
    }


def retrieval_bars(table: Mapping[str, Row], columns: Sequence[Column]) -> Figure | None:
    """Top 1 and top 5 beside chance; None where no run has text features."""
    rows = {name: row for name, row in table.items() if any(run.get("retrieval") for run in row.values())}
    if not rows:
        return None
    figure = Figure(figsize=(8.0, 1.2 + 0.4 * len(rows)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    by_name = {column.name: column for column in columns}
    for axes, name in zip(panels, ("1", "5"), strict=True):
        found = [estimated(row, by_name[f"top_{name}"]) for row in rows.values()]
        errors = [one.half if np.isfinite(one.half) else 0.0 for one in found]
        axes.barh([*rows], [one.mean for one in found], xerr=errors, color="tab:blue", height=0.6)
        chance = estimated(next(iter(rows.values())), by_name[f"chance_{name}"]).mean
        axes.axvline(chance, ls="--", color="black", lw=1)
        axes.set_title(f"top {name} (dashed: chance)", fontsize=10)
        axes.tick_params(labelsize=9)
    panels[0].invert_yaxis()
    return figure

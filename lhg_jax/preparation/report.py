"""What a prepared data set holds: a table on the terminal, report.json, and two pictures."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lhg_jax.motion import FRAME_RATE, SPACES, CoefficientSpace
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.dataset import DataSet, SplitContents
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import MissingExtraError

FOLDER = "report"


def summarise(data: DataSet, left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """The report as JSON: clips, hours, people, attitudes and coefficients of each split; what is left out.

    `people_in_several_splits` are identities that a model may have seen in training; ViCo's test set is made
    of them, its out-of-domain set must have none.
    """
    space = SPACES[next(iter(data.metadata.values())).space]
    return {
        "dataset": data.name,
        "space": space.name,
        "splits": {name: _summarise_split(split, space) for name, split in data.splits.items()},
        "people_in_several_splits": _shared_people(data),
        "left_out": [{"clip": some.uuid, "reason": some.reason} for some in left_out],
        "notes": {i.uuid: i.notes.split("\n") for s in data.splits.values() for i in s.infos if i.notes},
    }


def _summarise_split(split: SplitContents, space: CoefficientSpace) -> dict[str, Any]:
    attitudes = [info.attitude for info in split.infos]
    return {
        "clips": len(split.infos),
        "hours": sum(split.frames) / FRAME_RATE / 3600,
        "shortest_s": min(split.frames) / FRAME_RATE,
        "longest_s": max(split.frames) / FRAME_RATE,
        "speakers": len({info.speaker_id for info in split.infos} - {""}),
        "listeners": len({info.listener_id for info in split.infos} - {""}),
        "identities": len(_people(split)),
        "attitudes": {name: attitudes.count(name) for name in sorted(set(attitudes))},
        "coefficients": {
            part.name: {
                who: {
                    "mean": float(moments.mean[space.slice(part.name)].mean()),
                    "std": float(np.sqrt((moments.std[space.slice(part.name)] ** 2).mean())),
                    "unit": part.unit,
                }
                for who, moments in (("speaker", split.speaker), ("listener", split.listener))
            }
            for part in space.parts
        },
    }


def _people(split: SplitContents) -> set[str]:
    return {person for info in split.infos for person in (info.speaker_id, info.listener_id)} - {""}


def _shared_people(data: DataSet) -> dict[str, list[str]]:
    where = defaultdict(list)
    for name, split in data.splits.items():
        for person in sorted(_people(split)):
            where[person].append(name)
    return {person: names for person, names in where.items() if len(names) > 1}


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """One row a split, then every clip that is left out, with the reason."""
    table = Table("split", "clips", "hours", "speakers", "listeners", "attitudes", title=summary["dataset"])
    for name, split in summary["splits"].items():
        attitudes = ", ".join(f"{count} {attitude}" for attitude, count in split["attitudes"].items())
        people = (split[who] or "–" for who in ("speakers", "listeners"))  # simulated ones have no names
        numbers = (split["clips"], f"{split['hours']:.2f}", *people)
        table.add_row(name, *map(str, numbers), attitudes)
    console.print(table)
    if summary["people_in_several_splits"]:
        console.print(f"{len(summary['people_in_several_splits'])} people occur in several splits")
    if summary["notes"]:
        console.print(f"{len(summary['notes'])} clips kept with notes")
    print_left_out([LeftOut(some["clip"], some["reason"]) for some in summary["left_out"]], console)


def print_left_out(left_out: Sequence[LeftOut], console: Console) -> None:
    """Every clip that cannot be used, with the reason."""
    if left_out:
        console.print(f"{len(left_out)} clips left out:")
    for some in left_out:
        console.print(f"  {escape(some.uuid)}: {escape(some.reason)}", highlight=False, soft_wrap=True)


def save_report(data: DataSet, summary: dict[str, Any]) -> None:
    """Writes FOLDER/report/report.json and the pictures."""
    with replacing(data.folder / FOLDER / "report.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False), encoding="utf-8")
    save_pictures(data)


def save_pictures(data: DataSet) -> None:
    """Writes FOLDER/report/lengths.png and coefficients.png."""
    _save(data.folder / FOLDER / "lengths.png", _plot_lengths, data)
    _save(data.folder / FOLDER / "coefficients.png", _plot_coefficients, data)


def _save(path: Path, plot, data: DataSet) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the pictures of the report", "pipeline") from error
    figure = Figure(figsize=(9, 4), layout="constrained")
    plot(figure, data)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _plot_lengths(figure, data: DataSet) -> None:
    axes = figure.subplots()
    seconds = [np.array(split.frames) / FRAME_RATE for split in data.splits.values()]
    axes.hist(seconds, bins=20, stacked=True, label=list(data.splits))
    axes.set(xlabel="length of a clip, s", ylabel="clips", title=data.name)
    axes.legend()


def _plot_coefficients(figure, data: DataSet) -> None:
    """Mean and standard deviation of every coefficient, speakers above, listeners below; a panel per part."""
    space = SPACES[next(iter(data.metadata.values())).space]
    widths = [max(part.size, 6) for part in space.parts]
    panels = figure.subplots(2, len(space.parts), width_ratios=widths, squeeze=False)
    for row, who in zip(panels, ("speaker", "listener"), strict=True):
        for axes, part in zip(row, space.parts, strict=True):
            columns = space.slice(part.name)
            for name, split in data.splits.items():
                moments = getattr(split, who)
                number = np.arange(part.size)
                axes.errorbar(
                    number, moments.mean[columns], moments.std[columns], fmt=".", ms=3, lw=0.7, label=name
                )
            axes.set_title(f"{who}: {part.name}", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.set_xlabel(part.unit, fontsize=7)
    panels[0, 0].legend(fontsize=7)

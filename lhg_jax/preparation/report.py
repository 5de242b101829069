"""What a prepared data set holds: a table on the terminal, report.json, and two pictures."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lhg_jax.motion import FRAME_RATE, SPACES, CoefficientSpace
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.dataset import DataSet, SplitContents
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import MissingExtraError
from lhg_jax.util.progress import duration

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


def print_summary(summary: dict[str, Any], folder: Path, console: Console) -> None:
    """One row a split; every clip that was mended or left out, and why; where all of it was written."""
    table = Table("split", "clips", "length", "speakers", "listeners", "attitudes", title=summary["dataset"])
    for name, split in summary["splits"].items():
        attitudes = ", ".join(f"{count} {attitude}" for attitude, count in split["attitudes"].items())
        people = (split[who] or "–" for who in ("speakers", "listeners"))  # simulated ones have no names
        numbers = (split["clips"], _length(split["hours"]), *people)
        table.add_row(name, *map(str, numbers), attitudes)
    console.print(table)
    if summary["people_in_several_splits"]:
        count = len(summary["people_in_several_splits"])
        console.print(f"{_count(count, 'person occurs', 'people occur')} in several splits")
    print_notes(summary["notes"], console)
    print_left_out([LeftOut(some["clip"], some["reason"]) for some in summary["left_out"]], console)
    clips = sum(split["clips"] for split in summary["splits"].values())
    _print(f"wrote {folder} ({_count(clips, 'clip', 'clips')})", console)
    _print(f"report: {folder / FOLDER} (report.json, lengths.png, coefficients.png)", console)


def print_seconds(seconds: Mapping[str, float], console: Console) -> None:
    """Where the time went, the longest stage first; nothing where no clip was made."""
    stages = sorted(seconds.items(), key=lambda item: -item[1])
    if stages:
        times = ", ".join(f"{name} {duration(spent)}" for name, spent in stages)
        _print(f"time, of all workers together: {times}", console)


def _length(hours: float) -> str:
    return f"{hours:.2f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _print(line: str, console: Console) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_notes(notes: dict[str, list[str]], console: Console) -> None:
    """Every clip that was mended, and how."""
    if notes:
        _print(f"{_count(len(notes), 'clip', 'clips')} kept with notes:", console)
    for name, lines in notes.items():
        _print(f"  {name}: {'; '.join(lines)}", console)


def print_left_out(left_out: Sequence[LeftOut], console: Console) -> None:
    """Every clip that cannot be used, with the reason."""
    if left_out:
        _print(f"{_count(len(left_out), 'clip', 'clips')} left out:", console)
    for some in left_out:
        _print(f"  {some.uuid}: {some.reason}", console)


def save_report(data: DataSet, summary: dict[str, Any]) -> None:
    """Writes FOLDER/report/report.json and the pictures."""
    with replacing(data.folder / FOLDER / "report.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False), encoding="utf-8")
    save_pictures(data)


def save_pictures(data: DataSet) -> None:
    """Writes FOLDER/report/lengths.png and coefficients.png."""
    from lhg_jax.preparation import plots

    _save(data.folder / FOLDER / "lengths.png", plots.plot_lengths, data, (8.0, 4.0))
    _save(
        data.folder / FOLDER / "coefficients.png", plots.plot_coefficients, data, (plots.WIDTH, plots.HEIGHT)
    )


def _save(
    path: Path, plot: Callable[[Any, DataSet], None], data: DataSet, inches: tuple[float, float]
) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the pictures of the report", "train") from error
    figure = Figure(figsize=inches, layout="constrained")
    plot(figure, data)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)

"""Pictures of a prepared data set: how long its clips are, and where its coefficients lie."""

import dataclasses
from typing import Any

import numpy as np

from lhg_jax.face_model import ACTIONS
from lhg_jax.motion import FRAME_RATE, LANDMARK, SPACES, CoefficientSpace, Part
from lhg_jax.preparation.dataset import DataSet

WIDTH, HEIGHT = 14.0, 6.5  # inches
NAMES = {"angle": ("pitch", "yaw", "roll"), "crop": ("scale", "x", "y")}
PLACES = {"deep3d": ("x", "y", "z"), "deep3d_crop": ("x", "y", "z")}  # of `trans`; else x, y and a scale


@dataclasses.dataclass(frozen=True)
class Panel:
    """Coefficients, or actions of the face, that share an axis.

    Attributes:
      title: what they are.
      unit: of the y axis.
      columns: their numbers in a frame, or among `face_model.ACTIONS`.
      names: one for each column; empty for many, which are numbered.
      factor: from the unit of the coefficients to that of the axis.
      source: ending of the field of `SplitContents` that holds their moments.
    """

    title: str
    unit: str
    columns: range
    names: tuple[str, ...] = ()
    factor: float = 1.0
    source: str = ""


def panels(space: CoefficientSpace) -> list[Panel]:
    """A panel for each part of a space; translation and scale have one each, for they have other units."""
    found: list[Panel] = []
    for part in space.parts:
        first = space.slice(part.name).start
        columns = range(first, first + part.size)
        if part.name == "angle":
            found.append(Panel("head", "degrees", columns, NAMES["angle"], float(np.rad2deg(1))))
        elif part.name == "trans":
            found += _place(space, part, columns)
        else:
            found.append(Panel(part.name, part.unit, columns, NAMES.get(part.name, ())))
    if space == LANDMARK:
        names = tuple(name.replace("_", "\n") for name in ACTIONS)
        unit = "share of a full smile, blink, ..."
        found.append(Panel("face", unit, range(len(ACTIONS)), names, source="_actions"))
    return found


def _place(space: CoefficientSpace, part: Part, columns: range) -> list[Panel]:
    if space.name in PLACES:
        return [Panel("place", part.unit, columns, PLACES[space.name])]
    length = part.unit.removeprefix("x, y in ").split(", log")[0]
    return [
        Panel("place", length, columns[:2], ("x", "y")),
        Panel("size", "natural logarithm", columns[2:], ("log scale",)),
    ]


def plot_lengths(figure: Any, data: DataSet) -> None:
    """A histogram of the clips' lengths, the splits side by side."""
    axes = figure.subplots()
    seconds = [np.array(split.frames) / FRAME_RATE for split in data.splits.values()]
    every = np.concatenate(seconds)
    edges = np.linspace(every.min() - 0.25, every.max() + 0.25, 21)  # half a second for clips of one length
    axes.hist(
        seconds,
        bins=edges,
        label=[f"{name} ({len(s)})" for name, s in zip(data.splits, seconds, strict=True)],
    )
    axes.set(xlabel="length of a clip, seconds", ylabel="number of clips", title=f"{data.name}: lengths")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(title="split (clips)")


def plot_coefficients(figure: Any, data: DataSet) -> None:
    """Mean and standard deviation of every coefficient: speakers above, listeners below, a colour a split."""
    shown = panels(SPACES[next(iter(data.metadata.values())).space])
    widths = [max((1.0 if panel.names else 0.2) * len(panel.columns), 2.2) for panel in shown]
    rows = figure.subplots(2, len(shown), width_ratios=widths, squeeze=False, sharex="col", sharey="col")
    for row, who in zip(rows, ("speaker", "listener"), strict=True):
        for axes, panel in zip(row, shown, strict=True):
            _draw(axes, panel, data, who)
        row[0].text(-0.02, 1.04, f"{who}s", transform=row[0].transAxes, ha="right", weight="bold")
    figure.suptitle(f"{data.name}: mean (dot) and standard deviation (line) of each coefficient, all frames")
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title="split", loc="outside lower center", ncols=len(labels))


def _draw(axes: Any, panel: Panel, data: DataSet, who: str) -> None:
    columns, places = list(panel.columns), np.arange(len(panel.columns))
    for number, (name, split) in enumerate(data.splits.items()):
        moments = getattr(split, f"{who}{panel.source}")
        shift = 0.18 * (number - (len(data.splits) - 1) / 2)  # splits stand beside each other
        mean, std = (panel.factor * values[columns] for values in (moments.mean, moments.std))
        axes.errorbar(places + shift, mean, std, fmt="o", ms=3, lw=1, label=name)
    axes.axhline(0, color="0.8", lw=0.8, zorder=0)
    if panel.names:
        axes.set_xticks(places, panel.names)
        axes.set_xlim(-0.75, len(places) - 0.25)
    if who == "speaker":
        axes.set_title(
            panel.title if panel.names else f"{panel.title}: expression, by number of the coefficient"
        )
    axes.set_ylabel(panel.unit, fontsize=8)
    axes.tick_params(labelsize=8)

"""The pictures of a data set: each coefficient has a name or number, a unit, and lies inside the picture."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lhg_jax.data.records import Metadata, RunningStatistics
from lhg_jax.face_model import ACTIONS
from lhg_jax.motion import DEEP3D, DEEP3D_CROP, LANDMARK, TDDFA
from lhg_jax.preparation import plots
from lhg_jax.preparation.dataset import DataSet, SplitContents


def data_set(space, splits=("train", "test"), frames=(90, 300, 300)) -> DataSet:
    rng = np.random.default_rng(len(space.name))

    def moments(size: int = space.size) -> RunningStatistics:
        found = RunningStatistics.empty(size)
        found.add(rng.normal(size=(50, size)))
        return found

    def contents() -> SplitContents:
        actions = (moments(len(ACTIONS)), moments(len(ACTIONS))) if space == LANDMARK else ()
        return SplitContents([], list(frames), [], [], [], moments(), moments(), *actions)

    metadata = {name: Metadata(space.name, "test", -1, list(frames), [], [], [], [], []) for name in splits}
    return DataSet(Path(), "dyads", {name: contents() for name in splits}, metadata)


@pytest.mark.parametrize("space", [LANDMARK, TDDFA, DEEP3D, DEEP3D_CROP], ids=lambda space: space.name)
def test_panels_hold_every_coefficient_once(space):
    columns = [column for panel in plots.panels(space) if not panel.source for column in panel.columns]
    assert sorted(columns) == list(range(space.size))
    for panel in plots.panels(space):
        assert panel.unit and len(panel.names) in (0, len(panel.columns))


@pytest.mark.parametrize("space", [LANDMARK, DEEP3D_CROP], ids=lambda space: space.name)
def test_nothing_is_cut_off_and_everything_is_named(space):
    figure = Figure(figsize=(plots.WIDTH, plots.HEIGHT), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    plots.plot_coefficients(figure, data_set(space))
    canvas.draw()
    picture = figure.bbox
    for axes in figure.axes:
        for text in (axes.title, axes.yaxis.label, *axes.get_xticklabels()):
            box = text.get_window_extent()
            assert text.get_text() == "" or (box.x0 >= 0 and box.x1 <= picture.x1 and box.y0 >= 0)
        assert axes.get_ylabel()
    titles = [axes.get_window_extent() for axes in figure.axes]
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(titles) if a.y0 == b.y0)
    names = {text.get_text() for axes in figure.axes for text in axes.get_xticklabels()}
    assert {"pitch", "yaw", "roll", "x", "y"} <= names
    assert ({"smile", "blink"} <= names) == (space == LANDMARK)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "test"]


def test_angles_are_shown_in_degrees():
    [head] = [panel for panel in plots.panels(LANDMARK) if panel.title == "head"]
    assert head.unit == "degrees" and head.factor == pytest.approx(180 / np.pi)


def test_clips_of_one_length_have_an_axis():
    figure = Figure(layout="constrained")
    plots.plot_lengths(figure, data_set(LANDMARK, ("train",), (300, 300)))
    low, high = figure.axes[0].get_xlim()
    assert low < 10 < high and high - low < 1


def test_clips_are_counted_in_whole_numbers():
    figure = Figure(layout="constrained")
    plots.plot_lengths(figure, data_set(LANDMARK, ("train",), (250, 300)))
    ticks = figure.axes[0].get_yticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))

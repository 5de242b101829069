"""Which listeners are drawn: options, their limits, and the files of several samples."""

from pathlib import Path

import numpy as np
import pytest

from lhg_jax.contract import ATTITUDES
from lhg_jax.draw_options import DrawOptions
from lhg_jax.motion import LANDMARK
from lhg_jax.pipeline.request import Request
from lhg_jax.styles import ListenerStyle, draw_style
from lhg_jax.util.errors import UserError


class Mean:
    head = None
    space = LANDMARK


class Drawing:
    head = object()
    space = LANDMARK


def test_without_a_head_the_mean_listener_is_made_and_nothing_else():
    assert DrawOptions().draw(Mean()).temperature == 0
    for options in (DrawOptions(samples=2), DrawOptions(temperature=0.5), DrawOptions(nods=0.0)):
        with pytest.raises(UserError, match="flow head"):
            options.draw(Mean())


def test_with_a_head_listeners_are_as_varied_as_learned():
    draw = DrawOptions(seed=7, smiles=0.5).draw(Drawing())
    assert (draw.seed, draw.temperature, draw.factors) == (7, 1.0, {"smiles": 0.5})
    assert DrawOptions(temperature=0.0).draw(Drawing()).temperature == 0


@pytest.mark.parametrize(
    "options",
    [
        DrawOptions(samples=0),
        DrawOptions(seed=-1),
        DrawOptions(temperature=3.0),
        DrawOptions(blinks=-0.1),
        DrawOptions(liveliness=2.1),
        DrawOptions(temperature=0.0, nods=0.0),
        DrawOptions(temperature=0.0, attitude="positive"),
    ],
)
def test_values_that_mean_nothing_are_refused(options):
    with pytest.raises(UserError, match="--"):
        options.check()


def test_several_samples_have_numbered_files():
    request = Request(
        Path("a.jpg"), Path("o/x.mp4"), export_motion=Path("o/x.csv"), side_by_side=Path("o/p.mp4")
    )
    assert request.numbered(1) == [request]
    second = request.numbered(2)[1]
    assert (second.output, second.export_motion) == (Path("o/x_2.mp4"), Path("o/x_2.csv"))
    assert second.side_by_side == Path("o/p_2.mp4") and second.save_motion is None


def test_a_style_with_more_of_a_trait_has_the_most_at_two():
    nods = [ListenerStyle(nods=0.4).with_more({"nods": factor}).nods for factor in (0.0, 1.0, 1.5, 2.0)]
    assert nods == pytest.approx([0.4, 0.4, 0.7, 1])
    assert ListenerStyle(nods=0.4).with_more({"blinks": 2.0}) == ListenerStyle(nods=0.4, blinks=1.0)


def test_a_low_temperature_leaves_the_attitude_open_most_of_the_time():
    table = np.stack([ListenerStyle(nods=1.0, attitude=name).code() for name in ATTITUDES])
    styles = [draw_style(table, np.random.default_rng(seed), 0.3) for seed in range(400)]
    told = np.mean([style.attitude is not None for style in styles])
    assert 0.2 < told < 0.4 and all(style.nods == pytest.approx(0.65) for style in styles)
    assert draw_style(table, np.random.default_rng(0), 1.0).attitude in ATTITUDES

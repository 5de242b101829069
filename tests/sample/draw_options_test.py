"""Which listeners are drawn: options, their limits, and the files of several samples."""

from pathlib import Path

import pytest

from lhg_jax.draw_options import DrawOptions
from lhg_jax.pipeline.request import Request
from lhg_jax.styles import ListenerStyle, move_quantile
from lhg_jax.util.errors import UserError


class Mean:
    head = None


class Drawing:
    head = object()


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


def test_factors_lead_from_none_to_most():
    assert [move_quantile(0.4, f) for f in (0.0, 0.5, 1.0, 1.5, 2.0)] == pytest.approx([0, 0.2, 0.4, 0.7, 1])
    assert move_quantile(None, 2.0) == 1
    assert ListenerStyle(nods=0.4).scaled({"nods": 2.0}) == ListenerStyle(nods=1.0)

"""Events of nods and shakes, and scores of their matching by hand."""

import numpy as np
import pytest
from reactions_motion import moving

from lhg_jax.metrics.reactions import Event, detect, hysteresis, match, reaction_scores, tiou
from lhg_jax.motion import LANDMARK, Motion


@pytest.mark.parametrize(("kind", "axis"), [("nod", 0), ("shake", 1)])
@pytest.mark.parametrize("profile", ["glare_v2", "glare_balanced"])
def test_events_are_found_where_they_are(kind, axis, profile):
    events = detect(moving(0, axis, [2.0, 7.0]), kind, profile)
    assert len(events) == 2
    for event, start_s in zip(events, [2.0, 7.0], strict=True):
        assert tiou(event, Event(start_s, start_s + 3 / 2.3)) > 0.5


@pytest.mark.parametrize(("kind", "axis"), [("nod", 1), ("shake", 0)])
def test_the_other_axis_is_no_event(kind, axis):
    assert detect(moving(1, axis, [2.0, 7.0]), kind) == []


def test_small_movements_and_noise_are_no_events():
    assert detect(moving(2, 0, [2.0], size_deg=1.5), "nod") == []
    assert detect(moving(2, 0, []), "nod") == []
    assert len(detect(moving(2, 0, [2.0], size_deg=2.5), "nod", "glare_balanced")) == 1


def test_too_short_a_clip_has_no_events():
    assert detect(Motion(LANDMARK, np.zeros((2, 70), np.float32)), "nod") == []


def test_hysteresis_by_hand():
    assert hysteresis(np.array([0.5, 0.6, 0.45, 0.41, 0.6, 0.43]), 0.58, 0.42) == [(1, 3), (4, 6)]


def test_tiou_by_hand():
    assert tiou(Event(0, 2), Event(1, 3)) == pytest.approx(1 / 3)
    assert tiou(Event(0, 1), Event(2, 3)) == 0


def test_scores_by_hand():
    # The better of two overlapping predictions gets the true event; the other is left over.
    clip = match([Event(0, 1), Event(0.2, 1.2), Event(5, 6)], [Event(0.1, 1.1)])
    assert clip.pairs in ([(Event(0, 1), Event(0.1, 1.1))], [(Event(0.2, 1.2), Event(0.1, 1.1))])
    early = match([Event(0.9, 1.9)], [Event(1, 2)])  # 0.1 early at both ends: tIoU 0.9 / 1.1
    late = match([Event(1, 2.4)], [Event(1, 2)])  # ends 0.4 late and is 0.4 too long: tIoU 1 / 1.4
    assert reaction_scores([early]) == pytest.approx({"r_f1": 1, "r_tiou": 0.9 / 1.1, "r_atd": 40})
    assert reaction_scores([late]) == pytest.approx({"r_f1": 1, "r_tiou": 1 / 1.4, "r_atd": 40})
    both = reaction_scores([early, late, match([Event(0, 1)], []), match([], [Event(0, 1), Event(2, 3)])])
    assert both["r_f1"] == pytest.approx(2 * 2 / (3 + 4))
    nothing = reaction_scores([match([], [])])
    assert list(nothing) == ["r_f1", "r_tiou", "r_atd"] and np.isnan(list(nothing.values())).all()


def test_greedy_matching_is_one_to_one():
    clip = match([Event(0, 1), Event(0.1, 1.1)], [Event(0, 1)])
    assert clip.pairs == [(Event(0, 1), Event(0, 1))] and (clip.predicted, clip.true) == (2, 1)

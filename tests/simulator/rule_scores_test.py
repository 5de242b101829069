"""Probes: the simulator's own listeners score as the rules say, others near chance, and changes are seen."""

import dataclasses

import numpy as np
import pytest

from lhg_jax.motion import LANDMARK, TDDFA, Motion
from lhg_jax.simulator.dyads import Dyad, synthesise
from lhg_jax.simulator.rule_scores import SCORES, f1, mean_probe, probe
from lhg_jax.util.errors import UserError


@pytest.fixture(scope="module")
def dyads() -> list[Dyad]:
    return [synthesise(11, index) for index in range(20)]


@pytest.fixture(scope="module")
def truth(dyads) -> dict[str, float]:
    return mean_probe(probe(dyad.listener, dyad) for dyad in dyads)


def other_listener(dyads: list[Dyad], index: int) -> Motion:
    """Somebody else's motion, repeated to the right length."""
    frames = len(dyads[index].listener)
    values = dyads[(index + 7) % len(dyads)].listener.values
    return Motion(LANDMARK, np.resize(values, (frames, values.shape[1])))


@pytest.mark.parametrize("score", SCORES)
def test_truth_follows_every_rule(truth, score):
    assert truth[score] >= 0.95


def test_truth_has_the_rules_own_lags_and_gains(truth, dyads):
    assert truth["nod_lag_error_s"] < 0.05
    assert truth["mirror_gain_error"] < 0.03
    params = dyads[0].params
    assert truth["mirror_lag_s"] == pytest.approx(params.mirror_delay_s + 2 * params.mirror_time_s, abs=0.15)
    assert truth["smile_lag_s"] == pytest.approx(params.smile_delay_s + 2 * params.smile_time_s, abs=0.2)
    assert 12 < truth["blink_per_min"] < 24


@pytest.mark.parametrize("score", SCORES)
def test_shuffled_pairs_are_near_chance(dyads, score):
    shuffled = mean_probe(probe(other_listener(dyads, i), dyad) for i, dyad in enumerate(dyads))
    assert shuffled[score] < 0.3


def test_a_frozen_listener_follows_nothing(dyads):
    frozen = mean_probe(
        probe(dyad.listener.replace(**{p.name: dyad.listener.part(p.name)[:1] for p in LANDMARK.parts}), dyad)
        for dyad in dyads
    )
    assert all(frozen[score] == 0 for score in SCORES) and frozen["blink_per_min"] == 0


def test_late_and_weak_listeners_are_seen(dyads, truth):
    late_frames = 6

    def late_and_weak(motion: Motion) -> Motion:
        values = np.concatenate([np.repeat(motion.values[:1], late_frames, 0), motion.values[:-late_frames]])
        return Motion(LANDMARK, (values[:1] + 0.5 * (values - values[:1])).astype(np.float32))

    changed = mean_probe(probe(late_and_weak(dyad.listener), dyad) for dyad in dyads)
    assert changed["nod_lag_error_s"] == pytest.approx(truth["nod_lag_error_s"] + 0.2, abs=0.04)
    assert changed["mirror_lag_s"] == pytest.approx(truth["mirror_lag_s"] + 0.2, abs=0.05)
    assert changed["smile_lag_s"] == pytest.approx(truth["smile_lag_s"] + 0.2, abs=0.05)
    assert changed["mirror_gain"] == pytest.approx(0.5 * truth["mirror_gain"], rel=0.1)


def test_f1_matches_one_to_one():
    assert f1([1.0, 2.1], [1.1, 2.0]) == 1
    assert f1([1.0, 1.1], [1.05]) == pytest.approx(2 / 3)
    assert f1([1.0, 3.0], [2.0]) == 0 and f1([], [2.0]) == 0 and f1([2.0], []) == 0
    assert np.isnan(f1([], []))
    # The nearest first would leave 1.3 alone.
    assert f1([1.1, 1.3], [0.9, 1.12]) == 1


def test_listener_of_another_space_is_refused(dyads):
    frames = len(dyads[0].listener)
    other = dataclasses.replace(dyads[0].listener, space=TDDFA, values=np.zeros((frames, 16), np.float32))
    with pytest.raises(UserError, match=r"'tddfa'.*'landmark'"):
        probe(other, dyads[0])

"""Drawn listeners brought to the size of true ones: the factors, and what they leave alone."""

import numpy as np
import pytest

from lhg_jax.face_model import ACTIONS, action
from lhg_jax.generative import ListenerHead
from lhg_jax.models import chunks
from lhg_jax.models.flow_head import FlowHead, FlowHeadConfig
from lhg_jax.motion import LANDMARK, TDDFA
from lhg_jax.styles import action_amounts
from lhg_jax.training.head_calibration import gains, movements, rescaled, wholes
from lhg_jax.util.errors import UserError

SIZE = LANDMARK.size


def random_clips(true_size: float, count: int = 4) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mean, drawn and true motion; what is drawn goes along with the mean a little, or against it."""
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(count):
        mean, new, true = rng.normal(size=(3, int(rng.integers(20, 60)), SIZE)) + 5
        residual = new + rng.uniform(-0.4, 0.4) * mean
        clips.append((mean, mean + residual, true_size * true))
    return clips


def random_head() -> ListenerHead:
    """One that draws as many components as there are coefficients."""
    rng = np.random.default_rng(1)
    synthesis, analysis = rng.normal(size=(2, SIZE, SIZE)).astype(np.float32)
    constants = {"synthesis": synthesis, "analysis": analysis.T, "largest": np.ones(SIZE, np.float32)}
    head = FlowHead(FlowHeadConfig(coeff=SIZE, components=SIZE))
    return ListenerHead(head, {"params": {}, "constants": constants}, np.zeros((1, 3)))


def changes(own: ListenerHead, drawn: np.ndarray) -> np.ndarray:
    return np.asarray(chunks.to_change(own.variables, drawn))


def variance(motions, part) -> float:
    return sum((motion @ part).var(axis=0).sum() for motion in motions)


def test_the_factors_give_drawn_listeners_the_variance_of_true_ones():
    clips = random_clips(1.8)
    found = gains(clips, LANDMARK)
    assert {"exp", "pose", "smile", "blink"} <= set(found)
    for name, part in (wholes(LANDMARK) | movements(LANDMARK)).items():
        brought = [mean + found[name] * (drawn - mean) for mean, drawn, _ in clips]
        assert variance(brought, part) == pytest.approx(variance([y for *_, y in clips], part))
        assert found[name] > 0 and abs(found[name] - 1) > 0.02


def test_a_mean_that_varies_more_than_the_truth_has_no_factor():
    with pytest.raises(UserError, match="exp: no factor"):
        gains(random_clips(0.5), LANDMARK)


def test_a_movement_that_hardly_is_drawn_is_not_blown_up():
    exp, rng = LANDMARK.slice("exp"), np.random.default_rng(2)
    clips = random_clips(1.8)
    for *_, true in clips:
        true[:, exp] += 20 * np.outer(rng.normal(size=len(true)), action("smile"))
    assert gains(random_clips(1.8), LANDMARK)["smile"] < 2
    assert "smile" not in gains(clips, LANDMARK)


def test_movements_are_parts_of_the_whole_that_have_nothing_in_common():
    parts = movements(LANDMARK)
    assert parts.keys() == set(ACTIONS) and not movements(TDDFA)
    both = sum(parts.values())
    np.testing.assert_allclose(both @ both, both, atol=1e-9)
    np.testing.assert_allclose(sum(wholes(LANDMARK).values()), np.eye(SIZE))
    np.testing.assert_allclose(both[LANDMARK.slice("exp").stop :], 0)


def test_each_movement_changes_by_its_own_factor():
    own, drawn = random_head(), np.random.default_rng(3).normal(size=(7, SIZE)).astype(np.float32)
    factors = {"exp": 1.5, "pose": 0.25, "blink": 0.5}
    before, after = (changes(x, drawn) for x in (own, rescaled(own, factors, LANDMARK)))
    exp = LANDMARK.slice("exp")
    amounts, changed = (action_amounts(x[:, exp]) for x in (before, after))
    for name in ACTIONS:
        np.testing.assert_allclose(
            changed[name], factors.get(name, 1.5) * amounts[name], rtol=1e-3, atol=1e-3
        )

    def other(x):
        own = action_amounts(x[:, exp])
        return x[:, exp] - sum(np.outer(own[name], action(name)) for name in ACTIONS)

    np.testing.assert_allclose(other(after), 1.5 * other(before), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(after[:, exp.stop :], 0.25 * before[:, exp.stop :], rtol=1e-4, atol=1e-4)


def test_the_head_that_was_given_stays_as_it_is():
    own = random_head()
    kept = own.variables["constants"]["synthesis"].copy()
    other = rescaled(own, {"exp": 1.5, "pose": 0.25}, LANDMARK)
    np.testing.assert_array_equal(own.variables["constants"]["synthesis"], kept)
    assert other.variables["constants"].keys() == own.variables["constants"].keys()

"""Drawn listeners brought to the size of true ones: the factors, and what they leave alone."""

import numpy as np
import pytest

from lhg_jax.generative import ListenerHead
from lhg_jax.models import chunks
from lhg_jax.models.flow_head import FlowHead, FlowHeadConfig
from lhg_jax.motion import LANDMARK
from lhg_jax.training.head_calibration import gains, rescaled
from lhg_jax.training.objective import coefficient_groups
from lhg_jax.util.errors import UserError

GROUPS = coefficient_groups(LANDMARK)


def random_clips(true_size: float, count: int = 4) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mean, drawn and true motion; what is drawn goes along with the mean a little, or against it."""
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(count):
        mean, new, true = rng.normal(size=(3, int(rng.integers(20, 60)), LANDMARK.size)) + 5
        residual = new + rng.uniform(-0.4, 0.4) * mean
        clips.append((mean, mean + residual, true_size * true))
    return clips


def variance(motions, columns) -> float:
    return sum(motion[:, columns].var(axis=0).sum() for motion in motions)


def test_the_factors_give_drawn_listeners_the_variance_of_true_ones():
    clips = random_clips(1.8)
    found = gains(clips, LANDMARK)
    assert set(found) == set(GROUPS)
    for name, columns in GROUPS.items():
        brought = [mean + found[name] * (drawn - mean) for mean, drawn, _ in clips]
        assert variance(brought, columns) == pytest.approx(variance([y for *_, y in clips], columns))
        assert found[name] > 0 and abs(found[name] - 1) > 0.05


def test_a_mean_that_varies_more_than_the_truth_has_no_factor():
    with pytest.raises(UserError, match="exp: no factor"):
        gains(random_clips(0.5), LANDMARK)


def test_what_is_drawn_changes_by_the_factors_and_the_head_does_not():
    rng = np.random.default_rng(1)
    config = FlowHeadConfig(coeff=LANDMARK.size, components=9)
    synthesis, analysis = rng.normal(size=(2, 9, LANDMARK.size)).astype(np.float32)
    constants = {"synthesis": synthesis, "analysis": analysis.T, "largest": np.ones(9, np.float32)}
    own = ListenerHead(FlowHead(config), {"params": {}, "constants": constants}, np.zeros((1, 3)))
    other = rescaled(own, {"exp": 1.5, "pose": 0.25}, LANDMARK)
    drawn = rng.normal(size=(7, 9)).astype(np.float32)
    before, after = (np.asarray(chunks.to_change(x.variables, drawn)) for x in (own, other))
    np.testing.assert_allclose(after[:, GROUPS["exp"]], 1.5 * before[:, GROUPS["exp"]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        after[:, GROUPS["pose"]], 0.25 * before[:, GROUPS["pose"]], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(own.variables["constants"]["synthesis"], synthesis)
    assert {k: v for k, v in other.variables["constants"].items() if k != "synthesis"}.keys() == {
        "analysis",
        "largest",
    }

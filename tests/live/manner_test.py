"""Liveliness and attitude act on the motion as they say."""

import numpy as np
import pytest

from lhg_jax.face_model import action
from lhg_jax.live.manner import FROWN, SMILE, Manner
from lhg_jax.motion import LANDMARK


@pytest.fixture
def motion():
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, 70).astype(np.float32), rng.normal(0, 0.1, 70).astype(np.float32)


def held(values, name):
    direction = action(name)
    return float(values[LANDMARK.slice("exp")] @ direction / (direction @ direction))


def test_as_learned_changes_nothing(motion):
    np.testing.assert_allclose(Manner().apply(*motion), motion[0], atol=1e-7)


@pytest.mark.parametrize("liveliness", [0.0, 0.5, 2.0])
def test_liveliness_scales_about_the_portrait(motion, liveliness):
    values, rest = motion
    np.testing.assert_allclose(
        Manner(liveliness).apply(values, rest) - rest, liveliness * (values - rest), atol=1e-6
    )


def test_attitude_smiles_or_frowns(motion):
    values, rest = motion
    smiling, frowning = Manner(1.0, 1.0).apply(values, rest), Manner(1.0, -0.5).apply(values, rest)
    assert held(smiling - values, "smile") == pytest.approx(SMILE, rel=1e-4)
    assert held(frowning - values, "frown") == pytest.approx(0.5 * FROWN, rel=1e-4)
    pose = np.r_[LANDMARK.slice("angle"), LANDMARK.slice("trans")]
    np.testing.assert_allclose(smiling[pose], values[pose], atol=1e-7)


def test_a_change_is_taken_up_in_steps():
    manner, other = Manner(), Manner(2.0, -1.0)
    steps = [manner]
    for _ in range(60):
        steps.append(steps[-1].approach(other, 0.1))
    assert np.all(np.diff([step.liveliness for step in steps]) > 0)
    assert steps[-1].liveliness == pytest.approx(2, abs=0.01)
    assert steps[-1].attitude == pytest.approx(-1, abs=0.01)

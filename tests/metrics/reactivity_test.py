"""Reactivity: who hears the speaker gains, who moves as well but does not hear gains nothing."""

import numpy as np
import pytest

from lhg_jax.metrics.reactivity import LAGS, Clip, lagged, reactivity, ridge, swap_ratio


def conversations(seed: int, gain: float, count: int = 6, frames: int = 400) -> list[Clip]:
    """Listeners are AR(1) and follow the speaker's first signal after 10 frames, the system's by `gain`."""
    rng = np.random.default_rng(seed)

    def listen(speaker: np.ndarray, gain: float) -> np.ndarray:
        motion = np.zeros((frames, 2))
        for t in range(1, frames):
            cause = speaker[t - 10, 0] if t >= 10 else 0.0
            motion[t] = 0.8 * motion[t - 1] + gain * cause + 0.5 * rng.normal(size=2)
        return motion

    clips = []
    for _ in range(count):
        speaker = rng.normal(size=(frames, 3))
        clips.append(Clip(listen(speaker, gain), listen(speaker, 0.3), speaker))
    return clips


def test_a_listener_who_hears_gains():
    scores = reactivity(conversations(0, gain=0.3))
    assert scores["net"] > 0.1 and scores["p"] == pytest.approx(1 / 101)


def test_a_deaf_listener_gains_nothing():
    scores = [reactivity(conversations(seed, gain=0.0)) for seed in range(5)]
    assert np.mean([score["p"] for score in scores]) > 0.15
    assert abs(np.mean([score["net"] for score in scores])) < 0.02


def test_too_little_to_say():
    assert np.isnan(reactivity(conversations(1, 0.3, count=1))["p"])
    assert np.isnan(reactivity(conversations(1, 0.3, frames=100))["p"])


def test_lags_hold_the_past_and_not_the_present():
    values = np.arange(40.0)[:, None]
    rows = lagged(values)
    assert rows.shape == (40 - LAGS, LAGS)
    np.testing.assert_array_equal(rows[0], np.arange(LAGS))
    np.testing.assert_array_equal(rows[-1], np.arange(39 - LAGS, 39))


def test_ridge_recovers_weights():
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(5000, 4)), rng.normal(size=(4, 2))
    np.testing.assert_allclose(ridge(x, x @ weights), weights, rtol=0.01)


def test_swap_ratio_by_hand():
    motions, seeds = [np.zeros((4, 2))], [np.ones((4, 2))]
    assert swap_ratio(motions, seeds, [np.full((6, 2), 3.0)]) == pytest.approx(3)

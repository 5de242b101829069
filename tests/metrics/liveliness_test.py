"""Figures of motions whose nods, blinks and smiles are known."""

import numpy as np
import pytest

from lhg_jax.face_model import action
from lhg_jax.metrics.liveliness import liveliness
from lhg_jax.motion import LANDMARK, Motion

FPS = 30.0


def lively(nods_s=(), blinks_s=(), smile=0.0, drift_deg=0.0, seconds=20.0, seed=0) -> Motion:
    """Nods of two strokes of 5 degrees, whole blinks, a smile in the last half, a slow turn of the head."""
    t = np.arange(int(seconds * FPS)) / FPS
    rng = np.random.default_rng(seed)
    values = np.zeros((len(t), LANDMARK.size), np.float32)
    pitch = rng.normal(0, 0.01, len(t))
    for start in nods_s:
        u = t - start
        pitch += 5 * np.sin(np.pi * 2.3 * u) ** 2 * ((u > 0) & (u < 2 / 2.3))
    blink = sum((np.maximum(1 - np.abs(t - b) / 0.13, 0) for b in blinks_s), np.zeros(len(t)))
    exp = blink[:, None] * action("blink") + (smile * (t > seconds / 2))[:, None] * action("smile")
    values[:, :64] = exp
    values[:, LANDMARK.slice("angle")] = np.deg2rad(np.stack([pitch, drift_deg * t / seconds, 0 * t], axis=1))
    return Motion(LANDMARK, values)


def test_nods_and_blinks_are_counted():
    found = liveliness(lively(nods_s=(2, 7, 12), blinks_s=(1, 4, 5, 9, 15)))
    assert found["nods_per_min"] == pytest.approx(9) and found["blinks_per_min"] == pytest.approx(15)


def test_a_still_head_has_none():
    found = liveliness(lively())
    assert found["nods_per_min"] == found["blinks_per_min"] == 0
    assert found["speed"] < 0.5 and found["exp_departure"] < 1e-6


def test_a_slow_turn_is_no_nod_and_its_speed_is_right():
    found = liveliness(lively(drift_deg=40))
    assert found["nods_per_min"] == 0
    assert found["speed"] == pytest.approx(2, abs=0.3)
    assert found["pose_std"] == pytest.approx(40 / np.sqrt(12), rel=0.01)


def test_smiles_are_measured():
    found = liveliness(lively(smile=0.7))
    assert found["smile"] == pytest.approx(0.7, abs=0.02) and found["jaw"] < 0.1
    assert found["exp_departure"] == pytest.approx(0.35 * np.linalg.norm(action("smile")), rel=0.02)


def test_one_frame_is_enough_not_to_fail():
    assert liveliness(Motion(LANDMARK, np.zeros((1, 70), np.float32)))["nods_per_min"] == 0

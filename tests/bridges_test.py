"""Bridges: angles by sign, expressions by a map that a fit recovers, files that are no bridges."""

import numpy as np
import pytest

from lhg_jax import bridges
from lhg_jax.bridges import Bridge, find_bridge, fit_map, load_bridge, save_bridge
from lhg_jax.motion import DEEP3D, LANDMARK, TDDFA, Motion
from lhg_jax.util.errors import UserError
from lhg_jax.weights import save_weights


@pytest.fixture
def bridge() -> Bridge:
    rng = np.random.default_rng(0)
    expression, turning = (rng.normal(size=(64, size)).astype(np.float32) for size in (10, 3))
    return Bridge(LANDMARK, TDDFA, expression, turning, {"pitch": 0.97, "smile": 0.8})


def test_portrait_goes_to_the_portrait_and_changes_are_kept(bridge):
    rng = np.random.default_rng(1)
    own, theirs = rng.normal(size=70), rng.normal(size=16)
    values = np.stack([own, own + rng.normal(size=70)]).astype(np.float32)
    found = bridge(Motion(LANDMARK, values), own, theirs)
    assert found.space == TDDFA
    np.testing.assert_allclose(found.values[0], theirs, atol=1e-5)
    change = (values[1] - own).astype(np.float64)
    turned = change[LANDMARK.slice("angle")] * [0.8, 1, -1]  # of a nod less is seen; roll is the other way
    turned += change[:64] @ bridge.turning
    np.testing.assert_allclose(found.part("angle")[1], theirs[TDDFA.slice("angle")] + turned, atol=1e-4)
    exp = theirs[TDDFA.slice("exp")] + change[:64] @ bridge.expression
    np.testing.assert_allclose(found.part("exp")[1], exp, rtol=1e-4, atol=1e-4)


def test_fit_recovers_a_linear_map():
    rng = np.random.default_rng(2)
    source = rng.normal(size=(4000, 12)) * np.linspace(0.5, 2, 12)
    wanted = rng.normal(size=(12, 5))
    target = source @ wanted + 0.1 * rng.normal(size=(4000, 5))
    np.testing.assert_allclose(fit_map(source, target, 1e-6), wanted, atol=0.02)
    small = np.abs(fit_map(source, target, 10.0)).sum()
    assert small < 0.5 * np.abs(wanted).sum()  # a large penalty shrinks


def test_file_keeps_the_bridge(bridge, tmp_path):
    path = tmp_path / "landmark_to_tddfa.safetensors"
    save_bridge(path, bridge)
    loaded = find_bridge(LANDMARK, TDDFA, tmp_path)
    assert loaded is not None and loaded.correlation == bridge.correlation
    np.testing.assert_array_equal(loaded.expression, bridge.expression)
    np.testing.assert_array_equal(loaded.turning, bridge.turning)
    assert "'landmark'" in loaded.describe() and "smile 0.80" in loaded.describe()
    assert find_bridge(TDDFA, LANDMARK, tmp_path) is None


def test_other_motions_and_files_are_refused(bridge, tmp_path):
    with pytest.raises(UserError, match=r"'deep3d'.*'landmark'"):
        bridge(Motion(DEEP3D, np.zeros((2, 70), np.float32)), np.zeros(70), np.zeros(16))
    save_weights(
        tmp_path / "w.safetensors", {"expression": np.zeros((3, 4), np.float32)}, {"source": "landmark"}
    )
    with pytest.raises(UserError, match="not a bridge"):
        load_bridge(tmp_path / "w.safetensors")
    maps = {"expression": bridge.expression, "turning": bridge.turning[:, :2]}
    notes = {"source": "landmark", "target": "tddfa", "correlation": "{}"}
    save_weights(tmp_path / "b.safetensors", maps, notes)
    with pytest.raises(UserError, match="maps of shapes"):
        load_bridge(tmp_path / "b.safetensors")


def test_every_shipped_bridge_loads():
    for path in bridges.FOLDER.glob("*.safetensors"):
        found = load_bridge(path)
        assert path.stem == f"{found.source.name}_to_{found.target.name}"
        assert found.correlation.keys() >= {"pitch", "yaw", "roll"}

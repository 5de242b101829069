"""The spectral face model: template, modes, actions, mirror and projection."""

import numpy as np
import pytest

from lhg_jax import face_model
from lhg_jax.face_model import MIRROR, TEMPLATE, FaceAnchor
from lhg_jax.motion import LANDMARK

EYES = (slice(36, 42), slice(42, 48))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def anchor(rng, scale: float = 80.0) -> FaceAnchor:
    return FaceAnchor(np.array([200.0, 150.0]), scale, rng.normal(size=(68, 3)) * 0.02)


def test_template_is_symmetric_in_its_unit():
    np.testing.assert_array_equal(TEMPLATE[MIRROR] * [-1, 1, 1], TEMPLATE)
    left, right = (TEMPLATE[eye].mean(0) for eye in EYES)
    assert np.linalg.norm(right - left) == pytest.approx(1.0, abs=2e-3)
    assert (
        TEMPLATE[:, 2].max() < 0 and TEMPLATE[:, 2].argmin() == 30
    )  # the face is in front; the nose tip most


def test_modes_are_orthonormal_smooth_first_and_flat():
    fields = face_model.modes().reshape(64, -1)
    np.testing.assert_allclose(fields @ fields.T, np.eye(64), atol=1e-12)
    assert not face_model.modes()[..., 2].any()
    energies = face_model.mode_energies()
    assert (energies > 0).all() and (np.diff(energies[:32]) >= 0).all()
    np.testing.assert_array_equal(energies[:32], energies[32:])


@pytest.mark.parametrize(
    "name, error", [("blink", 0.1), ("jaw_open", 0.1), ("brow_raise", 0.1), ("smile", 0.2)]
)
def test_modes_express_the_actions(name, error):
    wanted = face_model.action_displacement(name)
    got = np.tensordot(face_model.action(name), face_model.modes(), axes=1)[:, :2]
    assert np.linalg.norm(got - wanted) <= error * np.linalg.norm(wanted)


def test_blink_closes_the_eye_and_leaves_the_head():
    moved = TEMPLATE + np.tensordot(face_model.action("blink"), face_model.modes(), axes=1)
    opening = [shape[[41, 40], 1] - shape[[37, 38], 1] for shape in (TEMPLATE, moved)]
    assert (opening[1] <= 0.15 * opening[0]).all()
    assert np.abs(moved - TEMPLATE)[27:36].max() < 0.01


def test_unknown_action_names_the_known_ones():
    with pytest.raises(KeyError, match="smile, blink"):
        face_model.action("wink")


def test_actions_and_template_are_their_own_mirror():
    for name in face_model.ACTIONS:
        values = np.concatenate([face_model.action(name), np.zeros(6)])
        np.testing.assert_allclose(face_model.mirror(values), values, atol=1e-9)


def test_mirror_equals_a_flipped_projection(rng):
    values = rng.normal(size=(5, LANDMARK.size)) * 0.2
    person = FaceAnchor(np.zeros(2), 1.0, np.zeros((68, 3)))
    flipped = face_model.project(person, values)[:, MIRROR] * [-1, 1]
    np.testing.assert_allclose(face_model.project(person, face_model.mirror(values)), flipped, atol=1e-9)


def test_rotation_signs_and_order(rng):
    nose = TEMPLATE[30]
    down, left, turned = (face_model.rotation(angle) @ nose - nose for angle in np.eye(3) * 0.1)
    assert down[1] > 0.1 and left[0] < -0.1
    assert turned[1] * nose[0] >= 0 and (face_model.rotation(np.array([0, 0, 0.1])) @ [1, 0, 0])[1] > 0
    pitch, yaw, roll = rng.normal(size=3)
    one_by_one = [face_model.rotation(a) for a in np.diag([pitch, yaw, roll])]
    np.testing.assert_allclose(
        face_model.rotation(np.array([pitch, yaw, roll])),
        one_by_one[2] @ one_by_one[1] @ one_by_one[0],
        atol=1e-12,
    )


def test_projection_moves_by_trans(rng):
    person, values = anchor(rng), rng.normal(size=LANDMARK.size) * 0.1
    values[-3:] = 0
    moved = values.copy()
    moved[-3:] = 0.5, -0.25, np.log(2.0)
    centred = face_model.project(person, values) - person.origin_xy
    expected = 2 * centred + person.origin_xy + [40.0, -20.0]
    np.testing.assert_allclose(face_model.project(person, moved), expected, atol=1e-9)

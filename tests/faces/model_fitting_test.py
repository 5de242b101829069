"""Pose, expression and identity from synthetic landmarks with known answers."""

import numpy as np
import pytest

from lhg_jax import face_model
from lhg_jax.face_model import TEMPLATE, FaceAnchor
from lhg_jax.faces import model_fitting
from lhg_jax.faces.landmark import DETECTED_TURN, EXACT_TURN, fit_clip, fit_portrait
from lhg_jax.motion import LANDMARK

SCALE = 70.0  # pixels per interocular distance
ANGLE, EXP = LANDMARK.slice("angle"), LANDMARK.slice("exp")


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def random_values(rng, frames: int, degrees: float, expression: float = 0.5) -> np.ndarray:
    """Values with poses up to ±`degrees` and expressions of `expression` times the prior's sd."""
    values = np.zeros((frames, LANDMARK.size))
    values[:, EXP] = (
        rng.normal(size=(frames, 64))
        * expression
        * model_fitting.EXPRESSION
        / face_model.mode_energies() ** 0.5
    )
    values[:, ANGLE] = np.deg2rad(rng.uniform(-degrees, degrees, (frames, 3)))
    values[:, -3:] = rng.normal(size=(frames, 3)) * [0.3, 0.3, 0.1]
    return values


def person(identity: np.ndarray | None = None) -> FaceAnchor:
    return FaceAnchor(np.array([250.0, 200.0]), SCALE, np.zeros((68, 3)) if identity is None else identity)


def test_pose_of_rigid_landmarks_is_exact(rng):
    values = random_values(rng, 40, 40.0, expression=0.0)
    pose = model_fitting.fit_pose(face_model.project(person(), values), TEMPLATE, known_person=True)
    np.testing.assert_allclose(pose.angle, values[:, ANGLE], atol=1e-3)
    np.testing.assert_allclose(pose.log_scale, np.log(SCALE) + values[:, -1], atol=1e-3)
    np.testing.assert_allclose(pose.shift, person().origin_xy + SCALE * values[:, -3:-1], atol=0.05)


def test_pitch_of_an_unknown_person_has_a_prior(rng):
    values = random_values(rng, 40, 12.0, expression=0.0)
    pose = model_fitting.fit_pose(face_model.project(person(), values), TEMPLATE, known_person=False)
    got, want = np.rad2deg(pose.angle), np.rad2deg(values[:, ANGLE])
    assert np.corrcoef(got[:, 0], want[:, 0])[0, 1] > 0.95
    assert 0.1 < np.polyfit(want[:, 0], got[:, 0], 1)[0] < 0.9
    assert np.abs(got[:, 1:] - want[:, 1:]).max() < 3.0


def test_a_jaw_that_slides_with_the_nod_hardly_changes_the_pitch(rng):
    values = random_values(rng, 100, 12.0, expression=0.2)
    landmarks = face_model.project(person(), values)
    follows = 0.5 * np.sin(values[:, ANGLE][:, :1]) * SCALE
    landmarks[:, [*range(4), *range(13, 17)], 1] += follows
    got, _ = fit_clip(landmarks, EXACT_TURN)
    assert np.polyfit(values[:, 64], got[:, 64], 1)[0] > 0.9


def test_turns_that_the_detector_understates_are_undone(rng):
    landmarks = face_model.project(person(), random_values(rng, 50, 12.0))
    shown, undone = (fit_clip(landmarks, turn)[0] for turn in (EXACT_TURN, DETECTED_TURN))
    np.testing.assert_allclose(undone[:, ANGLE] * DETECTED_TURN, shown[:, ANGLE], atol=1e-9)


def test_undone_turns_leave_the_face_where_it_is(rng):
    values = random_values(rng, 50, 14.0, expression=0.3)
    landmarks = face_model.project(person(), values)
    got, anchor = fit_clip(landmarks, DETECTED_TURN)
    off = (face_model.project(anchor, got) - landmarks)[:, 17:]
    assert np.abs(off.mean(1)).max() < 0.02 * SCALE


def test_pose_and_expression_survive_each_other_and_noise(rng):
    values = random_values(rng, 300, 22.0)
    landmarks = face_model.project(person(), values) + rng.normal(size=(300, 68, 2)) * 0.5
    pose = model_fitting.fit_pose(landmarks, TEMPLATE, known_person=True)
    assert (np.rad2deg(np.abs(pose.angle - values[:, ANGLE]).mean(0)) < 0.7).all()
    exp = model_fitting.fit_expression(landmarks, pose, TEMPLATE)
    correlation = [np.corrcoef(exp[:, k], values[:, k])[0, 1] for k in range(64)]
    assert min(correlation) > 0.8 and np.median(correlation) > 0.93


def test_one_bad_landmark_hardly_moves_the_pose(rng):
    values = random_values(rng, 20, 15.0, expression=0.0)
    landmarks = face_model.project(person(), values)
    landmarks[:, 27] += 0.3 * SCALE
    pose = model_fitting.fit_pose(landmarks, TEMPLATE, known_person=True)
    assert np.rad2deg(np.abs(pose.angle - values[:, ANGLE]).max()) < 4.0


def test_frames_are_fitted_one_by_one(rng):
    landmarks = face_model.project(person(), random_values(rng, 300, 20.0))
    together = model_fitting.fit_pose(landmarks, TEMPLATE, known_person=True)
    alone = model_fitting.fit_pose(landmarks[270:271], TEMPLATE, known_person=True)
    np.testing.assert_allclose(together.angle[270:271], alone.angle, atol=1e-9)


@pytest.mark.parametrize("name", ["smile", "jaw_open"])
def test_portrait_expression_tells_an_action_from_the_face(rng, name):
    shape_of_person = np.linalg.cholesky(
        model_fitting.identity_covariance() + 1e-9 * np.eye(68)
    ) @ rng.normal(size=(68, 2))
    action = face_model.action(name)
    field = np.tensordot(action, face_model.modes(), axes=1)[:, :2]
    neutral, acting = (
        model_fitting.portrait_expression(0.5 * shape_of_person + a * field) for a in (0.0, 1.0)
    )
    assert (acting - neutral) @ action > 0.6 * action @ action


def test_portrait_is_reproduced_exactly(rng):
    landmarks = face_model.project(person(rng.normal(size=(68, 3)) * 0.03), random_values(rng, 1, 15.0)[0])
    values, anchor = fit_portrait(landmarks)
    np.testing.assert_allclose(face_model.project(anchor, values.astype(np.float64)), landmarks, atol=1e-3)
    assert not values[-3:].any()


def test_clip_separates_person_and_motion(rng):
    identity = np.zeros((68, 3))
    identity[:, :2] = (
        model_fitting.identity_covariance() @ rng.normal(size=(68, 2)) / model_fitting.IDENTITY / 3
    )
    identity = model_fitting.without_pose(identity, 0.0)
    values = random_values(rng, 200, 18.0)
    landmarks = face_model.project(person(identity), values) + rng.normal(size=(200, 68, 2)) * 0.3
    got, anchor = fit_clip(landmarks, EXACT_TURN)
    error = got[:, ANGLE] - values[:, ANGLE]
    assert (np.rad2deg(np.abs(error - error.mean(0)).mean(0)) < 0.8).all()
    assert (np.rad2deg(np.abs(error.mean(0))) < 2.0).all()
    again = face_model.project(anchor, got)
    assert np.median(np.linalg.norm(again - landmarks, axis=-1)) < 0.02 * SCALE
    np.testing.assert_allclose(np.median(got[:, -3:], axis=0), 0, atol=1e-9)


def test_turning_heads_show_depth(rng):
    deeper = np.zeros((68, 3))
    deeper[27:31, 2] = -0.1
    values = random_values(rng, 200, 20.0, expression=0.1)
    landmarks = face_model.project(person(deeper), values)
    pose = model_fitting.Pose(
        values[:, ANGLE], person().origin_xy + SCALE * values[:, -3:-1], np.log(SCALE) + values[:, -1]
    )
    departure = model_fitting.mean_departure(landmarks, pose, np.zeros((68, 3)))
    np.testing.assert_allclose(departure[27:31, 2], -0.1, atol=0.05)


def test_without_pose_removes_what_a_pose_explains():
    turned = (
        TEMPLATE @ face_model.rotation(np.array([0.0, -0.02, 0.01])).T * 1.02 + [0.1, 0.05, 0.0] - TEMPLATE
    )
    left = model_fitting.without_pose(turned, 0.0)
    assert np.abs(left[:, :2]).max() < 0.02 * np.abs(turned[:, :2]).max()
    np.testing.assert_allclose(model_fitting.without_pose(left, 0.0), left, atol=2e-4)
    nodded = TEMPLATE @ face_model.rotation(np.array([0.02, 0.0, 0.0])).T - TEMPLATE
    kept = np.abs(model_fitting.without_pose(nodded, 0.0)[:, :2]).max() / np.abs(nodded[:, :2]).max()
    assert 0.1 < kept < 0.95  # part of a nod may be this person's face

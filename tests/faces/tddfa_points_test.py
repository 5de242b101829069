"""The 68 points by 3DDFA_V2, without dlib's landmarks: a map of known coefficients, and real faces."""

import numpy as np
import pytest
from skimage import data
from stage_files import export

from lhg_jax import faces, media
from lhg_jax.faces import alignment, detection, dlib_models, tddfa_points
from lhg_jax.faces.face_tracking import follow
from lhg_jax.faces.landmark import fit_clip
from lhg_jax.faces.tddfa import POSE, SIDE
from lhg_jax.faces.tddfa_points import FACE, box_region, cameras, project
from lhg_jax.faces.tracking_result import to_motion
from lhg_jax.motion import LANDMARK, TDDFA
from lhg_jax.util.errors import UserError


@pytest.fixture(scope="session")
def weights(shared, tmp_path_factory):
    pytest.importorskip("torch")
    official = shared / "weights/3ddfa_v2/mb05_120x120.pth"
    return export("tddfa", official, tmp_path_factory.mktemp("tddfa") / "tddfa.onnx")


@pytest.fixture
def without_landmarks(monkeypatch):
    """dlib's model for research is not there."""

    def missing():
        raise AssertionError("the landmark model was asked for")

    monkeypatch.setattr(dlib_models, "shape_predictor", missing)


def random_parameters(rng: np.random.Generator, count: int) -> np.ndarray:
    parameters = rng.normal(size=(count, 62))
    parameters[:, POSE] *= 1e-4
    parameters[:, [3, 7]] = rng.uniform(20, 100, (count, 2))
    return parameters


def test_points_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    basis, parameters = rng.normal(size=(68, 3, 51)), random_parameters(rng, 3)
    regions = np.array([[10.0, 20, 130, 140], [0, 0, 60, 60], [-30, 5, 210, 245]])
    found = project(basis, parameters, regions)
    for points, row, region in zip(found, parameters, regions, strict=True):
        matrix = row[POSE].reshape(3, 4)
        shape = basis @ np.concatenate([[1.0], row[FACE]]) * 1e5
        x, y, _ = matrix[:, :3] @ shape.T + matrix[:, 3:]
        pixels = (region[2] - region[0]) / SIDE
        np.testing.assert_allclose(points[:, 0], region[0] + (x - 1) * pixels)
        np.testing.assert_allclose(points[:, 1], region[1] + (SIDE - y) * pixels)


def test_cameras_follow_the_region():
    """A region twice as large and elsewhere: the same head twice as large there."""
    parameters = random_parameters(np.random.default_rng(1), 2)
    regions = np.array([[10.0, 20, 130, 140], [5, 5, 65, 65]])
    turn, origin = cameras(parameters, regions)
    turn_2, origin_2 = cameras(parameters, 2 * regions)
    np.testing.assert_allclose(turn_2, 2 * turn)
    np.testing.assert_allclose(origin_2, 2 * origin)


def test_a_face_and_its_mirror_image_have_mirrored_points(weights, without_landmarks):
    tracker = faces.get_tracker(LANDMARK, weights, "tddfa")
    image = np.ascontiguousarray(data.astronaut()[:240, 100:340])
    box = detection.find_faces(image)[0]
    points = tracker.align(image, box, alignment.FRAME)
    mirrored_box = box[[2, 1, 0, 3]] * [-1, 1, -1, 1] + [240, 0, 240, 0]
    mirrored = tracker.align(np.ascontiguousarray(image[:, ::-1]), mirrored_box, alignment.FRAME)
    back = mirrored[alignment.MIRROR] * [-1, 1] + [239, 0]
    eyes = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
    assert np.linalg.norm(back - points, axis=1).max() < 0.02 * eyes


def test_where_the_box_lies_hardly_matters(weights, without_landmarks):
    tracker = faces.get_tracker(LANDMARK, weights, "tddfa")
    image = np.ascontiguousarray(data.astronaut()[:240, 100:340])
    box = detection.find_faces(image)[0]
    moved = box + 0.08 * (box[2] - box[0]) * np.array([1, -1, 1, -1])
    here, there = (tracker.align(image, some, alignment.STILL) for some in (box, moved))
    eyes = np.linalg.norm(here[36:42].mean(0) - here[42:48].mean(0))
    assert np.linalg.norm(here - there, axis=1).max() < 0.03 * eyes


def test_points_lie_near_those_of_dlib_on_a_face_that_nobody_fitted(weights, shared):
    image = media.read_image(shared / "data/real/happy.png")
    fits = [faces.get_tracker(LANDMARK, *own).track_image(image) for own in ((), (weights, "tddfa"))]
    theirs, ours = (fit.landmarks for fit in fits)
    eyes = np.linalg.norm(theirs[36:42].mean(0) - theirs[42:48].mean(0))
    inner = np.linalg.norm(ours - theirs, axis=1)[17:] / eyes
    assert np.sqrt((inner**2).mean()) < 0.08
    turns = [np.rad2deg(fit.values[LANDMARK.slice("angle")]) for fit in fits]
    assert np.abs(turns[0] - turns[1]).max() < 6


@pytest.mark.slow
def test_a_clip_trembles_less_than_by_dlib_and_turns_alike(weights, shared):
    """Trembling is that of single frames: smoothed, what is left is mostly the head's own motion."""

    def angles(*own) -> tuple[np.ndarray, np.ndarray]:
        tracker = faces.get_tracker(LANDMARK, *own)
        sightings = follow(media.read_frames(shared / "data/real/speaker_a.mp4"), align=tracker.align)
        values, _ = fit_clip(sightings.landmarks)
        smooth = to_motion(LANDMARK, values, sightings)
        return np.rad2deg(values[:, LANDMARK.slice("angle")]), smooth.part("angle")

    (their_frames, theirs), (our_frames, ours) = angles(), angles(weights, "tddfa")
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)]
    assert (np.array(correlation) > [0.95, 0.95, 0.9]).all()
    tremble = [np.abs(np.diff(frames, 3, axis=0)).mean(axis=0) for frames in (our_frames, their_frames)]
    assert (tremble[0] < tremble[1]).all(), tremble
    print("correlation of pitch, yaw, roll", correlation, "trembling, degrees", tremble)


def test_without_or_with_other_weights(tmp_path):
    with pytest.raises(UserError, match=r"--tracker tddfa: needs its network, --tracker-weights"):
        faces.get_tracker(LANDMARK, None, "tddfa")
    with pytest.raises(UserError, match="no such file"):
        faces.get_tracker(LANDMARK, tmp_path / "none.onnx", "tddfa")
    with pytest.raises(UserError, match=r"--tracker tddfa: measures the space 'landmark', and 'tddfa'"):
        faces.get_tracker(TDDFA, None, "tddfa")
    with pytest.raises(UserError, match="unknown tracker 'other'"):
        faces.get_tracker(LANDMARK, None, "other")


def test_region_of_a_box():
    found = box_region(np.array([100.0, 100, 200, 200]))
    np.testing.assert_allclose(found, np.array([150, 156.6, 150, 156.6]) + 66.5 * np.array([-1, -1, 1, 1]))
    assert tddfa_points.basis().shape == (68, 3, 51)

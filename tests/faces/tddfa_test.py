"""3DDFA_V2 with its released weights: crops, pose and motion against recordings and the landmark tracker."""

import dataclasses
import itertools

import cv2
import numpy as np
import pytest
from skimage import data
from stage_files import export

from lhg_jax import faces, media
from lhg_jax.faces import tddfa
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.faces.network import BATCH
from lhg_jax.faces.tddfa import TddfaNetwork
from lhg_jax.media import Frame
from lhg_jax.motion import LANDMARK, TDDFA
from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

ANGLE, TRANS = TDDFA.slice("angle"), TDDFA.slice("trans")


@pytest.fixture(scope="session")
def weights(shared, tmp_path_factory):
    pytest.importorskip("torch")
    official = shared / "weights/3ddfa_v2/mb05_120x120.pth"
    return export("tddfa", official, tmp_path_factory.mktemp("tddfa") / "tddfa.onnx")


@pytest.fixture(scope="session")
def tracker(weights):
    return faces.get_tracker(TDDFA, weights)


@pytest.fixture(scope="module", params=["images", "katiehill"])
def recording(request, shared):
    return np.load(shared / f"golden/mobilenet_3ddfa.{request.param}.npz")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[:240, 100:340])


def rotation_of(angle: np.ndarray) -> np.ndarray:
    """Rz(roll) Ry(-yaw) Rx(pitch), axis by axis."""
    (cp, cy, cr), (sp, sy, sr) = np.cos(angle), np.sin(angle)
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def test_box_gives_the_recorded_region(recording):
    regions = [tddfa.box_region(box[:4].astype(np.float64)) for box in recording["in_bbox"]]
    np.testing.assert_allclose(regions, recording["in_roi"], atol=1e-4)


def test_parameters_of_recorded_crops(weights, recording):
    network = TddfaNetwork(interop.load(weights))
    rgb = np.ascontiguousarray(recording["in_crop_bgr_uint8"][..., ::-1])
    found = network.parameters(rgb)
    std = recording["in_param_std"]
    np.testing.assert_allclose((found - recording["out_param"]) / std, 0, atol=2e-5)
    np.testing.assert_allclose(found[:, tddfa.EXPRESSION], recording["out_exp10"], atol=1e-5)


def test_pose_of_recorded_parameters(recording):
    angle, shift, scale = tddfa.pose(recording["out_param"][:, tddfa.POSE])
    yaw_pitch_roll = np.rad2deg(angle)[:, [1, 0, 2]]
    np.testing.assert_allclose(yaw_pitch_roll, recording["out_euler_deg"], atol=1e-4)
    np.testing.assert_allclose(scale, recording["out_scale"], rtol=1e-6)
    np.testing.assert_allclose(shift, recording["out_offset"][:, :2], rtol=1e-6)


def test_pose_inverts_any_rotation():
    rng = np.random.default_rng(0)
    angles = rng.uniform([-1.5, -1.5, -3.1], [1.5, 1.5, 3.1], (50, 3))
    rows = np.stack([np.column_stack([2e-4 * rotation_of(a), rng.normal(size=3)]) for a in angles])
    rows[:, 2] = rng.normal(size=(50, 4))  # the third row is not used
    angle, shift, scale = tddfa.pose(rows.reshape(50, 12))
    turned = [rotation_of(a) for a in angle]
    np.testing.assert_allclose(turned, [rotation_of(a) for a in angles], atol=0.07)  # near 86 degrees of yaw
    inside = np.abs(angles[:, 1]) < 1.4
    np.testing.assert_allclose(angle[inside], angles[inside], atol=1e-9)
    np.testing.assert_allclose(shift, rows[:, :2, 3])
    np.testing.assert_allclose(scale, 2e-4)


@pytest.mark.parametrize("side", [1, -1])
def test_profiles_have_no_roll_of_their_own(side):
    rotation = rotation_of(np.array([0.3, side * np.pi / 2, 0.2]))
    angle, _, _ = tddfa.pose(np.column_stack([rotation, np.zeros(3)]).reshape(1, 12))
    assert angle[0, 1] == side * np.pi / 2 and angle[0, 2] == 0
    np.testing.assert_allclose(rotation_of(angle[0]), rotation, atol=1e-9)


def test_zero_matrix_is_finite():
    assert all(np.isfinite(part).all() for part in tddfa.pose(np.zeros((1, 12))))


def test_crop_is_black_outside_and_rounds_half_to_even():
    image = np.random.default_rng(0).integers(1, 255, (60, 80, 3), np.uint8)
    np.testing.assert_array_equal(
        tddfa.crop(image, np.array([-20.5, -30.0, 99.5, 90.0]))[30:90, 20:100], image
    )
    outside = tddfa.crop(image, np.array([-20.0, -30.0, 100.0, 90.0]))
    outside[30:90, 20:100] = 0
    assert not outside.any()
    assert not tddfa.crop(image, np.array([200.0, 200.0, 260.0, 260.0])).any()
    assert not tddfa.crop(image, np.array([-90.0, -90.0, -30.0, -30.0])).any()


def test_landmarks_give_a_square_root_two_times_their_extent():
    landmarks = np.random.default_rng(0).uniform([10, 40], [50, 60], (68, 2))
    landmarks[:2] = [[10, 40], [50, 60]]
    np.testing.assert_allclose(
        tddfa.landmark_region(landmarks),
        np.array([30, 50, 30, 50]) + 20 * np.sqrt(2) * np.array([-1, -1, 1, 1]),
    )


def test_motion_of_a_portrait_moved_in_known_ways(tracker, astronaut):
    """Turn, shift and size of the picture come back in the motion, whatever the crop does."""
    fit = tracker.track_image(astronaut)
    assert fit.values.shape == (TDDFA.size,) and fit.parameters.shape == (62,)
    np.testing.assert_array_equal(fit.values[TDDFA.slice("exp")], fit.parameters[tddfa.EXPRESSION])
    assert (np.abs(np.rad2deg(fit.values[ANGLE])) < 12).all()
    centre = fit.values[TRANS][:2] * 240
    matrix = cv2.getRotationMatrix2D(centre.tolist(), 8, 1.2)  # counter-clockwise
    matrix[:, 2] += [12, 9]
    image = cv2.warpAffine(astronaut, matrix, (240, 240), borderMode=cv2.BORDER_REPLICATE)
    moved = tracker.track_image(image).values - fit.values
    np.testing.assert_allclose(np.rad2deg(moved[ANGLE]), [0, 0, 8], atol=2.5)
    np.testing.assert_allclose(moved[TRANS], [12 / 240, 9 / 240, np.log(1.2)], atol=0.03)


def test_values_are_shares_of_the_picture(weights, recording):
    """The same parameters in a crop of a picture twice as large: nothing changes."""
    network, rng = TddfaNetwork(interop.load(weights)), np.random.default_rng(0)
    mean, std = recording["in_param_mean"], recording["in_param_std"]
    parameters = mean + 0.3 * std * rng.normal(size=(4, 62))
    places = np.array([[10.0, -20.0, 150.0, 120.0, 300.0, 200.0]] * 4)
    small, large = network.values(parameters, places), network.values(parameters, 2 * places)
    np.testing.assert_allclose(small, large)
    # tx = 1, ty = 120 is the crop's top left corner (the crop counts from 1, y up).
    parameters[:, [3, 7]] = [1, 120]
    np.testing.assert_allclose(
        network.values(parameters, places)[:, TRANS][:, :2], [[10 / 300, -20 / 200]] * 4
    )


def test_clip_of_more_than_a_batch_with_a_gap(tracker, astronaut):
    """Frames before and after a gap keep their own crops, in order; the gap is bridged with a warning."""
    images = [np.roll(astronaut, i, axis=1) for i in range(BATCH + 2)]
    images[5:8] = [np.zeros_like(astronaut)] * 3
    calls = []
    video = tracker.track_video(
        (Frame(i / 30, image) for i, image in enumerate(images)), lambda: calls.append(1)
    )
    assert len(calls) == len(images) == len(video.motion) and video.motion.space == TDDFA
    assert video.warnings == [f"the face is lost in 3 of {len(images)} frames, 0.1 s at most: interpolated"]
    assert not video.motion.valid[5:8].any() and video.motion.valid.sum() == len(images) - 3
    assert len(video.parameters) == len(video.places) == len(images) - 3
    np.testing.assert_allclose(np.gradient(video.motion.part("trans")[:, 0]) * 240, 1, atol=0.7)
    with pytest.raises(UserError, match="no face found in any of 2 frames"):
        tracker.track_video([Frame(0.0, images[5]), Frame(0.1, images[5])])


@pytest.mark.slow
def test_real_clip_agrees_with_the_landmark_tracker(tracker, shared):
    """Head pose, state by state, against a method that has nothing in common but the landmarks' crop."""

    def frames():
        return media.read_frames(shared / "data/real/speaker_a.mp4")

    ours = tracker.track_video(frames()).motion.part("angle") * [1, 1, -1]
    other = LandmarkTracker().track_video(frames()).motion.part("angle")
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, other.T, strict=True)]
    error = np.rad2deg(np.abs(ours - other)).mean(0)
    print(f"correlation {np.round(correlation, 3)}, MAE {np.round(error, 2)} degrees")
    assert (np.array(correlation) > [0.95, 0.98, 0.88]).all()
    assert (error < [2.6, 1.4, 1.2]).all()


@pytest.mark.slow
def test_tracked_clip_is_near_the_recorded_one(tracker, shared):
    """Regions of landmarks instead of FaceBoxes' boxes: the same head."""
    recording = np.load(shared / "golden/mobilenet_3ddfa.katiehill.npz")
    frames = itertools.islice(media.read_frames(shared / "data/real/speaker_a.mp4"), 0, None, 5)
    video = tracker.track_video(list(frames))
    assert video.found == 1.0
    angle, _, _ = tddfa.pose(video.parameters[:, tddfa.POSE])
    error = np.abs(np.rad2deg(angle)[:, [1, 0, 2]] - recording["out_euler_deg"])
    assert (error.mean(0) < [1.1, 1.4, 1.7]).all()


def test_trackers_by_space(weights, tmp_path):
    assert faces.get_tracker(TDDFA, weights).space == TDDFA
    with pytest.raises(UserError, match=r"--tracker-weights: .* needs its network.*docs/weights\.md"):
        faces.get_tracker(TDDFA)
    with pytest.raises(UserError, match="no such file"):
        faces.get_tracker(TDDFA, tmp_path / "none.onnx")
    with pytest.raises(UserError, match="the landmark tracker takes none"):
        faces.get_tracker(LANDMARK, weights)
    unknown = dataclasses.replace(TDDFA, name="other")
    with pytest.raises(UserError, match=r"'other' \(known: landmark, tddfa, deep3d"):
        faces.get_tracker(unknown, weights)


def test_network_of_another_stage_is_refused(weights):
    from lhg_jax.motion import DEEP3D

    with pytest.raises(
        UserError,
        match=r"another network .*image float32 \(any, 3, 120, 120\) to parameters, standardised .*224",
    ):
        faces.get_tracker(DEEP3D, weights)

"""Deep3DFaceRecon: alignment against recordings, and coefficients in their places."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from stage_files import export, filled_state

from lhg_jax import faces
from lhg_jax.faces import deep3d
from lhg_jax.faces.deep3d import Deep3dNetwork
from lhg_jax.faces.network import NetworkTracker
from lhg_jax.faces.precomputed import read_coefficients
from lhg_jax.media import Frame
from lhg_jax.motion import DEEP3D, DEEP3D_CROP
from lhg_jax.util.errors import UserError
from lhg_jax.util.interop import ArraySpec, ExternalNetwork


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[:240, 100:340])


def counting_network(space) -> Deep3dNetwork:
    """Coefficient k of image n is k + mean of the image."""

    def run(arrays):
        image = arrays["image"]
        return {"coeff": (np.arange(257) + image.mean((1, 2, 3))[:, None]).astype(np.float32)}

    spec = ArraySpec((None, 3, deep3d.SIDE, deep3d.SIDE), np.dtype("float32"))
    return Deep3dNetwork(ExternalNetwork("count", {"image": spec}, ("coeff",), {}, run), space)


@pytest.mark.parametrize("index", [0, 1])
def test_alignment_equals_recording(shared, index):
    arrays = np.load(shared / "golden/deep3d_align.a.npz")
    crop, place = deep3d.align(arrays[f"in_src{index}_uint8"], arrays["in_lm5"][index].astype(np.float64))
    np.testing.assert_array_equal(crop, arrays["out_crop_uint8"][index])
    np.testing.assert_allclose(place, arrays["out_trans_params"][index], rtol=1e-6)


def test_standard_points_are_the_recorded_ones(shared):
    arrays = np.load(shared / "golden/deep3d_align.a.npz")
    np.testing.assert_array_equal(deep3d.STANDARD.astype(np.float32), arrays["in_lm3d"])


def test_five_points_are_middles_of_eye_corners_nose_and_mouth_corners():
    landmarks = np.random.default_rng(0).normal(size=(68, 2))
    points = deep3d.five_points(landmarks)
    expected = [(landmarks[36] + landmarks[39]) / 2, (landmarks[42] + landmarks[45]) / 2]
    np.testing.assert_allclose(points, [*expected, landmarks[30], landmarks[48], landmarks[54]])


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_crops_over_the_edges_are_cut_towards_zero(corner):
    """Against the specification's steps written out with an image padded by hand."""
    rng = np.random.default_rng(1)
    image = rng.integers(1, 255, (150, 170, 3), np.uint8)
    points = deep3d.STANDARD[:, :2] * [60, -60] + np.array(corner) * [170, 150] + rng.normal(size=(5, 2))
    crop, (width, height, scale, x, y) = deep3d.align(image, points)
    wide, high = int(width * scale), int(height * scale)
    left = np.trunc(wide / 2 - 112 + (x - width / 2) * scale).astype(int)
    top = np.trunc(high / 2 - 112 + (height / 2 - y) * scale).astype(int)
    resized = np.asarray(Image.fromarray(image).resize((wide, high), Image.Resampling.BICUBIC))
    padded = np.pad(resized, ((300, 300), (300, 300), (0, 0)))
    np.testing.assert_array_equal(crop, padded[300 + top :, 300 + left :][:224, :224])
    assert (left < 0) == (corner[0] == 0) and (top < 0) == (corner[1] == 0)


def test_weak_perspective_finds_scale_and_origin():
    points = deep3d.STANDARD[:, :2] * 80 + [130.0, 90.0]
    size, origin = deep3d.weak_perspective(points)
    assert size == pytest.approx(80) and origin == pytest.approx([130, 90])


def test_values_take_their_columns_and_the_crop(astronaut):
    fit = NetworkTracker(counting_network(DEEP3D_CROP)).track_image(astronaut)
    assert fit.values.shape == (73,) and fit.parameters.shape == (257,)
    offset = fit.parameters[0]
    columns = [*range(80, 144), *range(224, 227), *range(254, 257)]
    np.testing.assert_allclose(fit.values[:70] - offset, columns, atol=1e-4)
    np.testing.assert_allclose(fit.values[70:], fit.place[2:], rtol=1e-6)
    # The crop's origin is where the face is, y from the bottom; its scale brings it to the crop.
    np.testing.assert_allclose([fit.place[3], 239 - fit.place[4]], fit.landmarks.mean(0), atol=15)
    assert fit.place[2] == pytest.approx(102 / (fit.landmarks[45, 0] - fit.landmarks[36, 0]), rel=0.3)
    plain = NetworkTracker(counting_network(DEEP3D)).track_image(astronaut)
    np.testing.assert_array_equal(plain.values, fit.values[:70])


def test_tracked_clip_equals_a_file_of_the_same_coefficients(astronaut, tmp_path):
    """What is tracked is what Deep3DFaceRecon would have stored, but for the smoothing along time."""
    tracker = NetworkTracker(counting_network(DEEP3D_CROP))
    video = tracker.track_video(Frame(i / 30, astronaut) for i in range(3))
    np.savez(tmp_path / "c.npz", coeff=video.parameters, transform_params=video.places.astype(np.float32))
    stored = read_coefficients(tmp_path / "c.npz")
    assert stored.space == video.motion.space == DEEP3D_CROP
    np.testing.assert_allclose(video.motion.values, stored.values, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_exported_network_in_the_tracker(shared, tmp_path, astronaut):
    torch = pytest.importorskip("torch")
    torch.save({"net_recon": filled_state(shared, "deep3d_recon", 91)}, tmp_path / "epoch_20.pth")
    weights = export("deep3d", tmp_path / "epoch_20.pth", tmp_path / "deep3d.onnx")
    for space in (DEEP3D, DEEP3D_CROP):
        tracker = faces.get_tracker(space, weights)
        fit = tracker.track_image(astronaut)
        assert tracker.space == space and fit.values.shape == (space.size,)
    video = tracker.track_video(Frame(i / 30, np.roll(astronaut, i, axis=1)) for i in range(20))
    assert len(video.motion) == len(video.parameters) == 20
    np.testing.assert_allclose(np.diff(video.places[:, 3]), 1, atol=0.8)


def test_weights_are_asked_for():
    for space in (DEEP3D, DEEP3D_CROP):
        with pytest.raises(UserError, match="--tracker-weights"):
            faces.get_tracker(space)

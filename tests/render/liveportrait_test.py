"""LivePortrait around its networks: what moves which keypoints, files, and the way into the picture."""

import cv2
import liveportrait_stand_ins
import numpy as np
import pytest
import skimage.data

from lhg_jax.face_model import action
from lhg_jax.faces import get_tracker
from lhg_jax.liveportrait import crop, networks
from lhg_jax.liveportrait.keypoints import Face, rotation
from lhg_jax.motion import LANDMARK, LIVEPORTRAIT, TDDFA, Motion
from lhg_jax.render import load_renderer
from lhg_jax.render.liveportrait.from_landmarks import LandmarkDriver
from lhg_jax.render.liveportrait.from_native import NativeDriver
from lhg_jax.util.errors import UserError

EXP, ANGLE, TRANS = (LANDMARK.slice(name) for name in ("exp", "angle", "trans"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return liveportrait_stand_ins.make_folder(tmp_path_factory.mktemp("networks") / "liveportrait")


@pytest.fixture(scope="module")
def portrait():
    return skimage.data.astronaut()[:256, 90:362]


@pytest.fixture(scope="module")
def fit(portrait):
    return get_tracker(LANDMARK).track_image(portrait)


@pytest.fixture
def source() -> Face:
    rng = np.random.default_rng(0)
    kp = rng.uniform(-0.4, 0.4, (1, 21, 3)).astype(np.float32)
    exp = 0.01 * rng.normal(size=(1, 21, 3)).astype(np.float32)
    turn = rotation(np.array([[4.0, -6.0, 3.0]])).astype(np.float32)
    return Face(kp, turn, exp, np.full((1, 1), 1.4, np.float32), np.array([[0.02, -0.03, 0.1]], np.float32))


@pytest.fixture
def driver(source, fit) -> LandmarkDriver:
    return LandmarkDriver(source, crop.box(fit.landmarks.astype(float)), fit.anchor, fit.values.astype(float))


def moved(driver, fit, **parts) -> np.ndarray:
    """Keypoints of one frame whose parts differ from the portrait's by these, less those of the portrait."""
    values = np.stack([fit.values, fit.values]).astype(np.float64)
    for name, change in parts.items():
        values[1, LANDMARK.slice(name)] += change
    points = driver(values).points()
    return points[1] - points[0]


def test_portrait_itself_moves_nothing(driver, fit, source):
    np.testing.assert_allclose(driver(fit.values[None].astype(float)).points(), source.points(), atol=1e-6)


def test_turns_go_the_way_that_landmarks_turn(driver, fit, source):
    depth = source.points()[0, :, 2] - source.points()[0, :, 2].mean()
    for axis, place, sign in ((0, 1, 1), (1, 0, -1)):  # nodding moves what is near down, yaw to the left
        change = moved(driver, fit, angle=np.deg2rad(10) * np.eye(3)[axis])[:, place]
        near = np.polyfit(-depth, change, 1)[0]
        assert np.sign(near) == sign
    roll = moved(driver, fit, angle=np.deg2rad([0, 0, 8.0]))
    x, y = (source.points()[0, :, :2] - source.t[0, :2]).T
    spin = (x * roll[:, 1] - y * roll[:, 0]).sum() / (x**2 + y**2).sum()
    assert spin == pytest.approx(np.sin(np.deg2rad(8)), abs=0.02)  # clockwise with y down


def test_turns_are_limited(driver, fit):
    far, farther = (moved(driver, fit, angle=np.deg2rad([0, deg, 0])) for deg in (35, 80))
    np.testing.assert_allclose(far, farther, atol=1e-5)


def test_shift_of_one_interocular_distance(driver, fit):
    change = moved(driver, fit, trans=np.array([1.0, 0, 0]))
    pixels = fit.anchor.scale * crop.SEEN / driver.box.side
    np.testing.assert_allclose(np.linalg.norm(change[:, :2], axis=1), 2 * pixels / crop.SEEN, rtol=1e-4)
    assert (change[:, 0] > 0).all()


def test_each_action_moves_its_own_keypoints(driver, fit):
    blink = moved(driver, fit, exp=action("blink"))[:, 1]
    assert blink[11] > 0.008 and blink[15] > 0.008  # lids go down
    jaw = moved(driver, fit, exp=action("jaw_open"))
    assert jaw[19, 1] > 0.02
    smile = moved(driver, fit, exp=action("smile"))[:, 1]
    assert smile[14] < -0.01 and abs(smile[11]) < 0.01  # corners up, eyes nearly as they were
    brows = moved(driver, fit, exp=action("brow_raise"))[:, 1]
    assert brows[1] > 0.005 and brows[2] < -0.005


def test_native_motion_is_relative_to_the_portrait(source):
    rng = np.random.default_rng(3)
    reference = 0.05 * rng.normal(size=LIVEPORTRAIT.size)
    box = crop.Box(np.array([100.0, 90.0]), 150.0, 0.0)
    driver = NativeDriver(source, box, reference)
    np.testing.assert_allclose(driver(reference[None]).points(), source.points(), atol=1e-6)
    other = reference.copy()
    other[LIVEPORTRAIT.slice("exp")] += 0.02
    other[LIVEPORTRAIT.slice("scale")] += np.log(1.1)
    want = 1.1 * source.scale[0] * (source.kp[0] @ source.rotation[0] + source.exp[0] + 0.02)
    want[:, :2] += source.t[0, :2]
    np.testing.assert_allclose(driver(other[None]).points()[0], want, atol=1e-5)


def random_motion(fit, frames: int, space=LANDMARK) -> Motion:
    steps = 0.02 * np.random.default_rng(7).normal(size=(frames, space.size))
    steps[0] = 0
    return Motion(space, (fit.values + steps).astype(np.float32))


@pytest.mark.parametrize("space", [LANDMARK, LIVEPORTRAIT])
def test_frames_have_the_portrait_around_the_square(folder, portrait, space):
    fit = get_tracker(space, folder if space == LIVEPORTRAIT else None).track_image(portrait)
    renderer = load_renderer("liveportrait", folder).in_space(space)
    motion = random_motion(fit, 4, space)
    frames = list(renderer(portrait, fit).animate(motion, (np.arange(4) + 0.5) / 30))
    assert [frame.shape for frame in frames] == [portrait.shape] * 4
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert np.abs(frames[1].astype(int) - frames[0]).max() > 0
    mask = crop.PasteBack(np.zeros_like(portrait), crop.box(fit.landmarks.astype(float)).matrix(512))(
        np.full((512, 512, 3), 255, np.uint8)
    )
    outside = cv2.dilate(mask.max(axis=2), np.ones((9, 9), np.uint8)) == 0  # a faint rim rounds to 0
    assert outside.any()
    np.testing.assert_array_equal(frames[2][outside], portrait[outside])


def test_still_frames_are_drawn_once(folder, portrait, fit, monkeypatch):
    renderer = load_renderer("liveportrait", folder)
    drawn, draw = [], networks.Networks.draw
    monkeypatch.setattr(networks.Networks, "draw", lambda *a: drawn.append(1) or draw(*a))
    values = np.repeat(random_motion(fit, 2).values, [3, 2], axis=0)
    times_s = (np.arange(5) + 0.5) / 30
    frames = list(renderer(portrait, fit).animate(Motion(LANDMARK, values), times_s))
    assert len(frames) == 5 and len(drawn) == 2


@pytest.mark.parametrize("size", [(128, 128), (1024, 900)])
def test_portraits_of_other_sizes(folder, fit, portrait, size):
    other = cv2.resize(portrait, size[::-1], interpolation=cv2.INTER_AREA)
    small = get_tracker(LANDMARK).track_image(other)
    renderer = load_renderer("liveportrait", folder)(other, small)
    (frame,) = renderer.animate(random_motion(small, 1), np.array([0.0]))
    assert frame.shape == other.shape


def test_motion_in_another_space_is_refused(folder, portrait, fit):
    renderer = load_renderer("liveportrait", folder)
    assert renderer.in_space(TDDFA) is None
    with pytest.raises(UserError, match=r"'tddfa'.*'landmark'"):
        renderer(portrait, fit).animate(Motion(TDDFA, np.zeros((2, 16), np.float32)), np.zeros(1))


def test_files_of_another_project_load(folder, tmp_path, portrait, fit):
    """FasterLivePortrait's names and one frame at a time; W and G in one file."""
    other = tmp_path / "faster"
    other.mkdir()
    liveportrait_stand_ins.motion(other / "motion_extractor.onnx", None, "img")
    for name, (file, inputs, outputs) in networks.FASTER.items():
        if name in ("stitching", "eye", "lip"):
            sizes = {"stitching": (126, 65), "eye": (66, 63), "lip": (65, 63)}[name]
            names = (inputs["feature"], outputs["delta"])
            liveportrait_stand_ins.dense(other / f"{file}.onnx", None, *sizes, 1, names)
    (other / "warping_spade.onnx").write_bytes((folder / "generator.onnx").read_bytes())
    with pytest.raises(UserError, match=r"appearance_feature_extractor.onnx: missing"):
        load_renderer("liveportrait", other)
    (other / "appearance_feature_extractor.onnx").write_bytes((folder / "motion.onnx").read_bytes())
    with pytest.raises(UserError, match="not LivePortrait's appearance network"):
        load_renderer("liveportrait", other)
    tracker = get_tracker(LIVEPORTRAIT, other)
    same = get_tracker(LIVEPORTRAIT, folder)
    np.testing.assert_array_equal(tracker.track_image(portrait).values, same.track_image(portrait).values)


def test_missing_and_mixed_up_files_are_one_line(folder, tmp_path):
    with pytest.raises(UserError, match="--renderer-weights: LivePortrait needs the folder"):
        load_renderer("liveportrait")
    with pytest.raises(UserError, match="no such folder"):
        load_renderer("liveportrait", tmp_path / "absent")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "eye.onnx").unlink()
    with pytest.raises(UserError, match=r"eye.onnx: missing"):
        load_renderer("liveportrait", tmp_path)
    (tmp_path / "eye.onnx").write_bytes((folder / "lip.onnx").read_bytes())
    with pytest.raises(UserError, match=r"eye.onnx: not LivePortrait's eye network"):
        load_renderer("liveportrait", tmp_path)
    with pytest.raises(UserError, match="--tracker-weights"):
        get_tracker(LIVEPORTRAIT)


def test_tracker_keeps_the_movement_of_the_head(folder):
    """A square that follows the head would take its movement out of the network's view."""
    tracker = get_tracker(LIVEPORTRAIT, folder).network
    rng = np.random.default_rng(2)
    parameters = np.tile(rng.normal(size=133).astype(np.float32), (5, 1))
    parameters[:, 69] = 1.4
    places = np.tile([200.0, 150.0, 100.0], (5, 1))
    places[:, 0] += [0, 5, 10, -5, 0]
    places[:, 2] = [100, 110, 100, 100, 90]
    values = tracker.values(parameters, places)
    trans, scale = values[:, LIVEPORTRAIT.slice("trans")], values[:, LIVEPORTRAIT.slice("scale")][:, 0]
    t_x = parameters[0, 66]
    np.testing.assert_allclose(trans[1, 0] - trans[0, 0], 2 * 5 / 100 + 0.1 * t_x, atol=1e-6)
    np.testing.assert_allclose(scale, np.log([1, 1.1, 1, 1, 0.9]), atol=1e-6)
    np.testing.assert_array_equal(values[:, LIVEPORTRAIT.slice("exp")], parameters[:, :63])

"""PIRenderer around its network: windows, crops, units, and the way back into the portrait."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import stage_stand_ins

from lhg_jax.motion import DEEP3D, DEEP3D_CROP, FRAME_RATE, Motion
from lhg_jax.render import crop_only, load_renderer
from lhg_jax.render import pirenderer as module
from lhg_jax.render.paste import Paste, Square, face_mask
from lhg_jax.render.pirenderer import PIRenderer
from lhg_jax.util.errors import UserError
from lhg_jax.util.interop import ArraySpec, ExternalNetwork

SCALE, X, Y = 1.0, 200.0, 160.0  # of the portrait's crop: 102 pixels a unit, origin at row 299 - 160


def spy_stage(draw) -> tuple[ExternalNetwork, list[dict]]:
    """A network whose picture is `draw(image, window)`, and what it was given."""
    calls: list[dict] = []

    def run(arrays):
        calls.append({name: x.copy() for name, x in arrays.items()})
        return {"fake": draw(arrays["image"], arrays["window"])}

    inputs = {
        "image": ArraySpec((None, 3, 256, 256), np.dtype("float32")),
        "window": ArraySpec((None, 73, 27), np.dtype("float32")),
    }
    return ExternalNetwork("spy", inputs, ("fake",), {}, run), calls


@pytest.fixture
def portrait() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)


@pytest.fixture
def fit() -> SimpleNamespace:
    values = stage_stand_ins.fit_values(SCALE, X, Y)
    return SimpleNamespace(values=values, landmarks=stage_stand_ins.landmarks_at(200, 139, 60))


def motion_from(values: np.ndarray, frames: int = 40, seed: int = 1) -> Motion:
    """Begins with `values` and departs from them."""
    steps = np.random.default_rng(seed).normal(size=(frames, len(values))) * 0.05
    steps[0] = 0
    return Motion(DEEP3D_CROP, (values + np.cumsum(steps, axis=0)).astype(np.float32))


def centres(frames: int) -> np.ndarray:
    return (np.arange(frames) + 0.5) / FRAME_RATE


def test_windows_are_27_rows_around_each_frame_held_at_both_ends(portrait, fit):
    stage, calls = spy_stage(lambda image, window: image)
    motion = motion_from(fit.values)
    frames = list(PIRenderer(stage)(portrait, fit).animate(motion, centres(40)))
    assert len(frames) == 40
    windows = np.concatenate([call["window"] for call in calls])
    assert max(len(call["window"]) for call in calls) == module.BATCH
    for t in (0, 5, 20, 39):
        rows = np.clip(np.arange(t - 13, t + 14), 0, 39)
        want = motion.values[rows]
        np.testing.assert_allclose(windows[t, :70], want[:, :70].T, atol=1e-5)
        assert windows[t].shape == (73, 27)


def test_time_is_that_of_the_frames_asked_for(portrait, fit):
    stage, calls = spy_stage(lambda image, window: image)
    ramp = np.repeat(fit.values[None], 60, axis=0)
    ramp[:, 0] = centres(60)  # the first coefficient says what time it is
    times = np.array([0.31, 0.5, 1.0, 1.27])  # of another frame rate, and not even a regular one
    list(PIRenderer(stage)(portrait, fit).animate(Motion(DEEP3D_CROP, ramp.astype(np.float32)), times))
    window = calls[0]["window"][:, 0]
    np.testing.assert_allclose(window[:, 13], times, atol=1e-5)
    inside = window[1]  # far enough from both ends
    np.testing.assert_allclose(np.diff(inside[1:]), 1 / 30, atol=1e-5)


def test_square_and_crop_coefficients_are_in_pixels_of_the_network(portrait, fit):
    stage, calls = spy_stage(lambda image, window: image)
    renderer = PIRenderer(stage)(portrait, fit)
    square = renderer.square
    assert square == Square(200 - 140, 139 - 140, 280)
    list(renderer.animate(motion_from(fit.values), centres(1)))
    scale, x, y = calls[0]["window"][0, 70:, 13]
    zoom = 256 / 280
    assert scale == pytest.approx(SCALE / zoom)
    # The model's origin is where it was: at pixel (200, 139) of the portrait, the middle of the square.
    assert x == pytest.approx((200 - 60 + 0.5) * zoom - 0.5, abs=1e-3)
    assert 255 - y == pytest.approx((139 + 1 + 0.5) * zoom - 0.5, abs=1e-3)


def test_scale_of_another_person_is_brought_to_the_portraits_and_nothing_else_is():
    rng = np.random.default_rng(2)
    source = rng.normal(size=73).astype(np.float32)
    values = rng.normal(size=(9, 73)).astype(np.float32)
    source[70], values[:, 70] = 1.3, rng.uniform(0.5, 0.9, 9)
    values[4, :67] = source[:67] + 0.01  # the nearest frame, though not in translation or crop
    before = values.copy()
    scaled = module.normalise_scale(values, source)
    np.testing.assert_allclose(scaled[:, 70], values[:, 70] * 1.3 / values[4, 70], rtol=1e-6)
    np.testing.assert_array_equal(np.delete(scaled, 70, 1), np.delete(values, 70, 1))
    np.testing.assert_array_equal(values, before)  # built from a copy
    # Angles weigh 0.7, expression 0.3.
    values[:] = source
    values[:, 0] += 1.0 * 64  # everywhere but in frames 1 and 2
    values[1, 0], values[1, 64] = source[0], source[64] + 3 * 0.4  # distance 0.28
    values[2, 0], values[2, 64] = source[0] + 64 * 0.8, source[64]  # distance 0.24
    values[:, 70] = np.arange(1, 10)
    np.testing.assert_allclose(module.normalise_scale(values, source)[0, 70], 1.3 / 3, rtol=1e-5)


def test_motion_that_begins_with_the_portrait_keeps_its_scale(fit):
    values = motion_from(fit.values).values
    np.testing.assert_array_equal(module.normalise_scale(values, fit.values), values)


def test_image_is_the_square_in_units_of_the_network(portrait, fit):
    stage, calls = spy_stage(lambda image, window: image)
    flat = np.broadcast_to(np.array([255, 0, 51], np.uint8), portrait.shape).copy()
    list(PIRenderer(stage)(flat, fit).animate(motion_from(fit.values), centres(1)))
    np.testing.assert_allclose(calls[0]["image"][0].mean((1, 2)), [1.0, -1.0, -0.6], atol=1e-6)
    assert calls[0]["image"].shape == (1, 3, 256, 256)


def test_crop_is_truncated_to_eight_bits(portrait, fit):
    stage, _ = spy_stage(lambda image, window: np.full_like(image, 0.999 * 2 / 255 - 1))
    renderer = crop_only(PIRenderer(stage))(portrait, fit)
    (frame,) = renderer.animate(motion_from(fit.values), centres(1))
    assert frame.shape == (256, 256, 3) and not frame.any()  # 0.999 is 0
    stage, _ = spy_stage(lambda image, window: np.full_like(image, 7.0))
    (frame,) = crop_only(PIRenderer(stage))(portrait, fit).animate(motion_from(fit.values), centres(1))
    assert (frame == 255).all()


def test_paste_changes_the_face_and_leaves_the_rest_bit_for_bit(portrait, fit):
    stage, _ = spy_stage(lambda image, window: -image)
    (frame,) = PIRenderer(stage)(portrait, fit).animate(motion_from(fit.values), centres(1))
    assert frame.shape == portrait.shape and frame.dtype == np.uint8
    changed = (frame != portrait).any(axis=2)
    rows, columns = np.nonzero(changed)
    jaw = fit.landmarks[:17]
    assert columns.min() >= jaw[:, 0].min() - 1 and columns.max() <= jaw[:, 0].max() + 1
    assert rows.max() <= jaw[:, 1].max() + 1  # not the neck
    assert rows.min() >= fit.landmarks[17:27, 1].min() - 0.5 * 60 * 1.7  # the forehead, not the hair above
    assert changed[139, 200] and changed[145, 190]


def test_a_network_that_draws_the_portrait_gives_the_portrait(fit):
    y, x = np.mgrid[:300, :400]
    smooth = np.stack([x / 2, y / 2, (x + y) / 4], -1).astype(np.uint8)
    stage, _ = spy_stage(lambda image, window: image)
    (frame,) = PIRenderer(stage)(smooth, fit).animate(motion_from(fit.values), centres(1))
    assert np.abs(frame.astype(int) - smooth).max() <= 2  # in its place, the right way up


def test_mask_is_feathered_and_never_reaches_the_squares_edge(fit):
    mask = face_mask(Square(60, -1, 280), fit.landmarks)
    assert mask.max() == 1 and mask.min() == 0 and not mask[[0, -1]].any() and not mask[:, [0, -1]].any()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.12 and np.abs(np.diff(mask, axis=1)).max() < 0.12
    cut = face_mask(Square(170, 100, 60), fit.landmarks)  # a square smaller than the face
    assert not cut[[0, -1]].any() and not cut[:, [0, -1]].any()


def test_squares_may_reach_beyond_the_portrait():
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    cut = Square(-2, -1, 10).cut(image, 10)
    np.testing.assert_array_equal(cut[1:6, 2:8], image)
    np.testing.assert_array_equal(cut[0, 2:8], image[0])
    paste = Paste(np.zeros((5, 6, 3), np.uint8), Square(-2, -1, 10), np.full((68, 2), 2.0))
    assert paste(np.full((10, 10, 3), 200.0, np.float32)).shape == (5, 6, 3)


def test_memory_does_not_grow_with_length(portrait, fit):
    """Frames are asked of the network as they are taken."""
    stage, calls = spy_stage(lambda image, window: image)
    frames = PIRenderer(stage)(portrait, fit).animate(motion_from(fit.values, 30), centres(30))
    for _ in range(module.BATCH + 1):
        next(frames)
    assert len(calls) == 2


def test_what_does_not_fit_is_refused(portrait, fit, tmp_path):
    stage, _ = spy_stage(lambda image, window: image)
    other = Motion(DEEP3D, np.zeros((3, DEEP3D.size), np.float32))
    with pytest.raises(UserError, match="in space 'deep3d' but PIRenderer is in space 'deep3d_crop'"):
        PIRenderer(stage)(portrait, fit).animate(other, centres(3))
    with pytest.raises(UserError, match="not in space 'deep3d_crop'"):
        PIRenderer(stage)(portrait, SimpleNamespace(values=np.zeros(70), landmarks=fit.landmarks))
    tiny = SimpleNamespace(values=stage_stand_ins.fit_values(20.0, X, Y), landmarks=fit.landmarks)
    with pytest.raises(UserError, match="14 pixels is too small"):
        PIRenderer(stage)(portrait, tiny)
    with pytest.raises(UserError, match="--renderer-weights"):
        load_renderer("pirenderer")
    with pytest.raises(UserError, match="another network"):
        load_renderer("pirenderer", stage_stand_ins.rvrt(tmp_path / "rvrt.onnx"))
    with pytest.raises(UserError, match="--paste crop"):
        crop_only(SimpleNamespace(space=DEEP3D_CROP))


def test_onnx_files_run(portrait, fit, tmp_path):
    renderer = load_renderer("pirenderer", stage_stand_ins.pirenderer(tmp_path / "p.onnx"))
    assert renderer.space == DEEP3D_CROP and dataclasses.is_dataclass(renderer)
    frames = list(renderer(portrait, fit).animate(motion_from(fit.values), centres(6)))
    assert len(frames) == 6 and all(frame.shape == portrait.shape for frame in frames)

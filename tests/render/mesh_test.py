"""The mesh renderer on an exactly known face: geometry without a detector, and bad input."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

from lhg_jax.face_model import TEMPLATE, FaceAnchor, action, project
from lhg_jax.render import RENDERERS, load_renderer
from lhg_jax.render.mesh import grid, smile
from lhg_jax.render.mesh.renderer import MeshRenderer
from lhg_jax.render.mesh.warp import PortraitHead
from lhg_jax.util.errors import UserError

ANGLE = slice(64, 67)


@dataclasses.dataclass
class Fit:
    values: np.ndarray
    anchor: FaceAnchor
    landmarks: np.ndarray


def portrait_of(size=(200, 180), scale=28.0, angle=(0.05, -0.1, 0.1), centre=(92.0, 88.0), smooth=True):
    """A random portrait with a face of `scale` pixels between the eyes, and its exact fit."""
    random = np.random.default_rng(0)
    height, width = size
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x * a + y * b + c) for a, b, c in random.uniform(0.05, 0.25, (3, 3))]
    image = 128 + 60 * np.stack(waves, -1) + (0 if smooth else random.normal(0, 20, (height, width, 3)))
    identity = random.normal(0, 0.01, TEMPLATE.shape)
    values = np.zeros(70)
    values[:64] = 0.2 * action("smile")
    values[ANGLE] = angle
    anchor = FaceAnchor(np.array(centre), scale, identity)
    return np.clip(image, 0, 255).astype(np.uint8), Fit(values, anchor, project(anchor, values))


def moved(fit, *, angle=(0.0, 0.0, 0.0), trans=(0.0, 0.0, 0.0), **actions):
    """The fit's values with a turn (degrees) and shift added, and actions by name."""
    values = fit.values.copy()
    values[ANGLE] += np.radians(angle)
    values[67:] += trans
    for name, amount in actions.items():
        values[:64] += amount * action(name)
    return values


def fold(renderer, values):
    """Smallest determinant of the Jacobian of u -> u + D(u): below 0 the image is folded over."""
    d = renderer.warp.displacement(values) / renderer.warp.step
    xx, xy = 1 + np.gradient(d[..., 0], axis=1), np.gradient(d[..., 0], axis=0)
    yx, yy = np.gradient(d[..., 1], axis=1), 1 + np.gradient(d[..., 1], axis=0)
    return (xx * yy - xy * yx).min()


def test_own_values_give_back_the_portrait():
    portrait, fit = portrait_of(smooth=False)
    (frame,) = MeshRenderer(portrait, fit).render(fit.values[None])
    np.testing.assert_array_equal(frame, portrait)


@pytest.mark.parametrize(
    "change",
    [
        {"angle": (10, 0, 0)},
        {"angle": (0, -10, 0)},
        {"angle": (0, 0, 12)},
        {"trans": (0.2, -0.1, 0.05)},
        {"smile": 0.7},
        {"angle": (-6, 6, 5), "smile": 0.5},
    ],
)
def test_landmarks_go_where_the_face_model_says(change):
    portrait, fit = portrait_of()
    renderer = MeshRenderer(portrait, fit)
    values = moved(fit, **change)
    inner = [*range(17, 37), 39, 42, 45, 48, 51, 54, 57]  # without the edges of eyes and mouth, and the jaw
    want = (project(fit.anchor, values) - fit.landmarks)[inner] / fit.anchor.scale
    got = renderer.warp.displacement_at(fit.landmarks[inner], values) / fit.anchor.scale
    assert np.abs(want).max() > 0.05  # something moves
    assert np.abs(got - want).max() < 0.06
    assert np.abs(got - want).mean() < 0.02


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [-20, 20])
@pytest.mark.parametrize("start", [(0.0, 0.0, 0.0), (0.0, 0.35, 0.0), (0.0, 0.0, 0.26)])
def test_nothing_folds_over_at_20_degrees(axis, degrees, start):
    renderer, fit = turned_portrait(start)
    turn = np.zeros(3)
    turn[axis] = degrees
    assert fold(renderer, moved(fit, angle=turn)) > 0.1


@functools.cache
def turned_portrait(angle):
    portrait, fit = portrait_of(angle=angle)
    return MeshRenderer(portrait, fit), fit


def test_wild_values_do_not_fold_over():
    portrait, fit = portrait_of()
    renderer = MeshRenderer(portrait, fit)
    for angle, trans in [((60, 0, 0), (0, 0, 0)), ((0, -80, 0), (0, 0, 0)), ((10, 10, 10), (0.8, 0.5, 0.1))]:
        assert fold(renderer, moved(fit, angle=angle, trans=trans)) > 0.0


def test_image_far_from_the_head_stands_still():
    portrait, fit = portrait_of(size=(300, 400), scale=16.0, centre=(90.0, 80.0), smooth=False)
    frames = MeshRenderer(portrait, fit).render(moved(fit, angle=(10, 12, 8), smile=1.0)[None])
    (frame,) = frames
    np.testing.assert_array_equal(frame[:, 300:], portrait[:, 300:])
    np.testing.assert_array_equal(frame[270:], portrait[270:])
    assert np.abs(frame[40:120, 60:120].astype(int) - portrait[40:120, 60:120]).mean() > 5


def test_only_what_moves_is_drawn_anew(monkeypatch):
    portrait, fit = portrait_of(size=(300, 400), scale=16.0, centre=(90.0, 80.0), smooth=False)
    row, renderer = moved(fit, angle=(-8, 11, 8)), MeshRenderer(portrait, fit)
    (frame,) = renderer.render(row[None])
    rows, columns = renderer.warp.displacement(row).shape[:2]
    monkeypatch.setattr(grid, "changing", lambda back, step, person: (slice(0, rows), slice(0, columns)))
    (whole,) = renderer.render(row[None])
    assert np.abs(frame.astype(int) - whole).mean() < 0.1  # edges of layers are put together to a level or so


@pytest.mark.parametrize("roll", [-20, 0, 20])
@pytest.mark.parametrize("pitch", [6, 15])
def test_a_nod_of_a_leaning_head_is_a_nod(pitch, roll):
    portrait, fit = portrait_of(angle=(0.0, 0.0, 0.0))
    values = fit.values.copy()
    values[ANGLE] = np.radians([pitch, 0, roll])
    turn, nod, large_turn, large_nod = MeshRenderer(portrait, fit).warp.terms(values).relief.T
    np.testing.assert_allclose([turn, large_turn], 0, atol=1e-9)
    length = fit.anchor.scale * np.sin(np.radians(pitch))
    assert np.linalg.norm(nod + large_nod) == pytest.approx(length)


def test_a_smile_adds_less_to_a_smile():
    _, fit = portrait_of()
    lifts = []
    for before in (-0.3, 1.0, 2.0):
        fit.values[:64] = before * action("smile")
        fit.landmarks = project(fit.anchor, fit.values)
        change = PortraitHead(fit).face_change(fit.values[:64] + action("smile"))
        lifts.append(smile.lift(change[:, 1]))
        assert np.abs(PortraitHead(fit).face_change(fit.values[:64])).max() < 1e-12
    assert lifts[0] == pytest.approx(smile.lift(smile.full_smile()[:, 1]))
    assert lifts[0] > 1.3 * lifts[1] > 4 * lifts[2] > 0


def test_a_larger_turn_moves_the_nose_farther():
    portrait, fit = portrait_of(angle=(0.0, 0.0, 0.0))
    renderer = MeshRenderer(portrait, fit)
    nose = fit.landmarks[30:31]
    for sign in (-1, 1):
        turns = [moved(fit, angle=(0, sign * degrees, 0)) for degrees in range(0, 30, 4)]
        x = [renderer.warp.displacement_at(nose, row)[0, 0] for row in turns]
        assert (np.diff(x) * -sign > -0.2).all()


def test_shoulders_sway_with_small_shifts_and_are_dragged_by_big_ones():
    portrait, fit = portrait_of(size=(260, 260), scale=24.0, centre=(130.0, 70.0))
    renderer = MeshRenderer(portrait, fit)
    shoulder = np.array([[130.0, 170.0]])
    small, big = (
        renderer.warp.displacement_at(shoulder, moved(fit, trans=(x, 0, 0)))[0, 0] for x in (0.1, 0.9)
    )
    assert renderer.layers is not None
    assert 0.3 < small / (0.1 * 24) < 0.55  # half, less what the hips take
    assert 0.4 * 24 < big < 0.75 * 24


def test_the_shoulders_of_a_sheet_stand_still_until_dragged(monkeypatch):
    monkeypatch.setattr("lhg_jax.render.mesh.renderer.separate", lambda *_: None)
    portrait, fit = portrait_of(size=(260, 260), scale=24.0, centre=(130.0, 70.0))
    renderer = MeshRenderer(portrait, fit)
    shoulder = np.array([[130.0, 170.0]])
    small, big = (
        renderer.warp.displacement_at(shoulder, moved(fit, trans=(x, 0, 0)))[0, 0] for x in (0.1, 0.9)
    )
    assert abs(small) < 0.3
    assert 2.0 < big < 0.65 * 24


def test_no_content_from_outside_the_image_is_pulled_in():
    portrait, fit = portrait_of(size=(96, 96), scale=28.0, centre=(48.0, 46.0))
    renderer = MeshRenderer(portrait, fit)
    for trans in [(0.6, 0.0, 0.0), (-0.6, 0.0, 0.0), (0.0, 0.6, 0.0), (0.0, -0.6, 0.0)]:
        corners = np.array([[0.0, 48.0], [95.0, 48.0], [48.0, 0.0], [48.0, 95.0]])
        inwards = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        shift = renderer.warp.displacement_at(corners, moved(fit, trans=trans))
        assert ((shift * inwards).sum(1) < 2.0).all()


def test_frames_are_independent_of_each_other():
    portrait, fit = portrait_of()
    renderer = MeshRenderer(portrait, fit)
    rows = np.stack([moved(fit, angle=(8, 0, 0)), moved(fit, blink=1.0), moved(fit, jaw_open=0.5)])
    together = list(renderer.render(rows))
    alone = [next(renderer.render(row[None])) for row in rows[::-1]][::-1]
    np.testing.assert_array_equal(together, alone)


def test_bad_input_is_one_line_that_says_what():
    portrait, fit = portrait_of()
    renderer = MeshRenderer(portrait, fit)
    with pytest.raises(UserError, match=r"\(2, 69\) is not in space 'landmark'"):
        renderer.render(np.zeros((2, 69)))
    with pytest.raises(UserError, match="not finite"):
        renderer.render(np.full((1, 70), np.nan))
    small, small_fit = portrait_of(size=(60, 60), scale=8.0, centre=(30.0, 30.0))
    with pytest.raises(UserError, match="8 pixels between the eyes"):
        MeshRenderer(small, small_fit)


def test_renderers_are_found_by_name():
    assert load_renderer("mesh") is MeshRenderer
    with pytest.raises(UserError, match="--renderer-weights: the mesh renderer takes none"):
        load_renderer("mesh", Path("x.onnx"))
    with pytest.raises(UserError, match=f"unknown renderer 'oil'.*{', '.join(RENDERERS)}"):
        load_renderer("oil")

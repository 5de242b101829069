"""A portrait taken apart: the person moves, the background and the borders stand still."""

import numpy as np
import pytest
from mesh_person import SCALE, person_before_a_wall

from lhg_jax.face_model import action
from lhg_jax.render.mesh import layers
from lhg_jax.render.mesh.layers import blended, separate
from lhg_jax.render.mesh.renderer import MeshRenderer
from lhg_jax.render.mesh.warp import SHEET


@pytest.fixture(scope="module")
def wall():
    portrait, person, fit = person_before_a_wall()
    return portrait, person, fit, MeshRenderer(portrait, fit)


@pytest.mark.parametrize("size", [1, 2])
def test_layers_are_the_person_and_give_the_portrait_back(wall, size):
    portrait, person = (x.repeat(size, 0).repeat(size, 1) for x in wall[:2])
    found = separate(portrait, (wall[2].landmarks + 0.5) * size - 0.5)
    matte = found.matte[..., None] / 255.0
    assert ((found.matte > 128) ^ person).mean() < 0.03
    back = found.person * matte + found.background * (1 - matte)
    assert np.abs(back - portrait).mean() < 0.5
    np.testing.assert_array_equal(found.background[found.matte == 0], portrait[found.matte == 0])
    reds = found.background[person][:, 0] > 130
    assert reds.mean() < 0.1  # neither skin nor cloth is left behind the person


def test_a_matte_mixes_person_and_background():
    random = np.random.default_rng(5)
    person, whole = (random.integers(0, 256, (40, size, 3)).astype(np.uint8) for size in (30, 50))
    matte = random.choice(np.array([0, 1, 100, 254, 255], np.uint8), (40, 30))
    background = whole[:, 10:40]  # as the renderer hands it over: part of a larger one
    part = matte[..., None] / 255.0
    got = blended(person, matte, background)
    np.testing.assert_allclose(got, person * part + background * (1 - part), atol=0.51)
    np.testing.assert_array_equal(got[matte == 255], person[matte == 255])
    np.testing.assert_array_equal(got[matte == 0], background[matte == 0])


@pytest.mark.parametrize(
    "change", [{"angle": (0, 15, 0)}, {"angle": (8, 0, 12)}, {"trans": (0.8, -0.2, 0.1)}]
)
def test_the_background_stands_still(wall, change):
    portrait, person, fit, renderer = wall
    values = fit.values.copy()
    values[64:67] += np.radians(change.get("angle", (0, 0, 0)))
    values[67:] += change.get("trans", (0, 0, 0))
    (frame,) = renderer.render(values[None])
    skin = frame[..., 0] > 100  # skin or cloth, now or before
    away = ~(skin | person)
    for axis in (0, 1):
        away &= np.roll(away, 4, axis) & np.roll(away, -4, axis)
    away[:4] = away[-4:] = away[:, :4] = away[:, -4:] = False
    assert away.mean() > 0.3
    assert np.abs(frame[away].astype(int) - portrait[away]).mean() < 1.0
    head = person & (np.arange(len(person))[:, None] < 105)
    assert np.abs(frame[head].astype(int) - portrait[head]).mean() > 2


def test_borders_that_the_person_does_not_reach_stay(wall):
    portrait, _, fit, renderer = wall
    for trans in [(1.5, 0, 0), (-1.5, 0, 0), (0, -0.4, 0)]:
        values = fit.values.copy()
        values[67:] += trans
        (frame,) = renderer.render(values[None])
        for edge in (frame[0] - portrait[0].astype(int), frame[:150, 0] - portrait[:150, 0].astype(int)):
            assert np.abs(edge).max() <= 1


def test_nothing_folds_over_in_any_pose(wall):
    _, _, fit, renderer = wall
    random = np.random.default_rng(6)
    for _ in range(40):
        values = fit.values.copy()
        values[:64] += random.uniform(-0.5, 1) * action("smile") + random.uniform(0, 1) * action("jaw_open")
        values[64:67] += random.uniform(-0.6, 0.6, 3)
        values[67:] += random.uniform(-1, 1, 3) * [1.0, 1.0, 0.3]
        d = renderer.warp.displacement(values) / renderer.warp.step
        xx, xy = 1 + np.gradient(d[..., 0], axis=1), np.gradient(d[..., 0], axis=0)
        yx, yy = np.gradient(d[..., 1], axis=1), 1 + np.gradient(d[..., 1], axis=0)
        assert (xx * yy - xy * yx <= 0).sum() == 0


def test_an_uncertain_portrait_stays_one_sheet(monkeypatch):
    portrait, person, fit = person_before_a_wall()
    more_hair = person | (np.arange(240)[:, None] < 110) & (np.abs(np.arange(220) - 110) < 60)
    monkeypatch.setattr(layers, "_cut_out", lambda image, landmarks, hair: person if hair == 1 else more_hair)
    renderer = MeshRenderer(portrait, fit)
    assert renderer.layers is None
    assert renderer.warp.limits is SHEET
    values = fit.values.copy()
    values[65] += 0.2
    (frame,) = renderer.render(values[None])
    beside = np.s_[80:100, 70:80]
    assert np.abs(frame[beside].astype(int) - portrait[beside]).mean() > 2  # the wall bends with the head


@pytest.mark.parametrize("shift", [(1.1, 0.9), (-1.2, 0.6), (-0.9, -0.9), (0.0, 1.4)])
def test_a_head_arrives_where_a_far_shift_takes_it(wall, shift):
    _, _, fit, renderer = wall
    row = fit.values.copy()
    row[67:69] = shift
    got = renderer.warp.displacement_at(fit.landmarks[27:36], row)
    np.testing.assert_allclose(got, np.tile(np.array(shift) * SCALE, (9, 1)), atol=0.05 * SCALE)


def test_what_stands_on_a_shoulder_far_from_the_head_is_background():
    portrait, person, fit = person_before_a_wall(size=(240, 260))
    shelf = np.s_[60:150, 130:176]  # like the cloth, from beside the head to 3.3 distances from the midline
    portrait[shelf] = np.random.default_rng(1).normal([120, 40, 40], 3, (90, 46, 3)).astype(np.uint8)
    found = separate(portrait, fit.landmarks)
    assert found is not None
    assert (found.matte[75:110, 158:175] == 0).mean() > 0.95
    assert (found.matte[:108] > 128)[person[:108]].mean() > 0.95


def test_a_pole_above_the_head_is_background():
    portrait, person, fit = person_before_a_wall()
    random = np.random.default_rng(2)
    pole = np.s_[:60, 116:124]  # like skin, from the head's top to the picture's
    portrait[pole] = random.normal([210, 160, 130], 3, (60, 8, 3)).astype(np.uint8)
    found = separate(portrait, fit.landmarks)
    assert found is not None
    assert (found.matte[:30, 116:124] == 0).all()
    assert (found.matte > 128)[person].mean() > 0.95

"""Lids and lips: what closes is covered by skin, not squashed, and what opens is dark."""

import numpy as np
import pytest

from lhg_jax.face_model import ACTIONS, TEMPLATE, action
from lhg_jax.render.mesh.eye import Eye
from lhg_jax.render.mesh.eyes_and_mouth import (
    EYES,
    MOUTH,
    EyesAndMouth,
    portrait_displacement,
    shared_displacement,
)
from lhg_jax.render.mesh.mouth import Mouth
from lhg_jax.render.mesh.opening import slide

UNIT = 60.0
SKIN, WHITE, IRIS, BROW = (200, 150, 130), (245, 245, 245), (40, 30, 20), (60, 40, 30)
DOWN = np.array([0.0, 1.0])


def eye_portrait():
    """Skin with an almond of white and a dark disc in it; returns the image and the edges."""
    random = np.random.default_rng(1)
    image = np.empty((120, 140, 3))
    image[:] = SKIN
    upper = np.array([[45.0, 60.0], [60.0, 52.0], [78.0, 52.0], [93.0, 60.0]])
    lower = np.array([[45.0, 60.0], [60.0, 67.0], [78.0, 67.0], [93.0, 60.0]])
    y, x = np.mgrid[:120, :140]
    inside = (np.abs(y - 60) < 8 * (1 - ((x - 69) / 24.0) ** 2)) & (np.abs(x - 69) < 24)
    image[35:42, 40:98] = BROW
    image[inside] = WHITE
    image[inside & ((x - 69) ** 2 + (y - 60) ** 2 < 40)] = IRIS
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8), upper, lower, inside


def eye_of(image, upper, lower):
    brow = np.stack([np.linspace(42, 96, 5), np.full(5, 38.0)], axis=1)
    return Eye(image, upper, lower, brow, DOWN, UNIT)


def test_a_closed_eye_is_skin_with_lashes():
    image, upper, lower, inside = eye_portrait()
    eye = eye_of(image, upper, lower)
    closed = eye.render(0.0).astype(float)
    covered = inside[eye.box]
    place = eye._opening
    lid = covered & (place.b < place.upper + 0.5 * place.gap)
    assert np.abs(closed[lid] - SKIN).mean() < 25  # skin, where white and iris were
    assert (closed[covered].min(-1) > 225).mean() < 0.02  # no white is left
    on_edge = (np.abs(place.b - (place.upper + 0.85 * place.gap)) < 1.0) & (place.gap > 8)
    assert closed[on_edge].mean() < closed[lid].mean() - 20
    drawn = image.astype(float)
    drawn[eye.box] = closed
    np.testing.assert_array_less(np.abs(drawn[30:42] - image[30:42]), 8)  # the brow stands still


def test_nothing_ends_at_the_edge_of_an_eyes_box():
    image, upper, lower, _ = eye_portrait()
    eye = eye_of(image, upper, lower)
    for openness, gaze, upper_part in [(0.0, (0, 0), 0.85), (0.4, (0.05, 0.02), 0.3), (1.2, (-0.1, 0), 0.5)]:
        change = np.abs(eye.render(openness, np.array(gaze, float), upper_part).astype(int) - image[eye.box])
        for edge in (change[0], change[-1], change[:, 0], change[:, -1]):
            assert edge.max() == 0


def test_a_lid_comes_out_of_its_shade():
    image, upper, lower, inside = eye_portrait()
    y = np.arange(len(image))[:, None]
    shaded = (y > 41) & (y < 56) & ~inside
    image[shaded] = image[shaded] * 0.35
    place = (eye := eye_of(image, upper, lower))._opening
    lid = (place.b > place.upper) & (place.b < place.upper + 0.6 * place.gap)
    lid &= np.abs(place.along - 0.5) < 0.2
    assert 0.45 < eye.render(0.0)[lid].mean() / np.mean(SKIN) < 0.8
    assert np.abs(eye.render(1.0).astype(float) - image[eye.box]).max() < 8


def test_a_half_closed_eye_keeps_the_lower_half_of_the_eyeball():
    image, upper, lower, _ = eye_portrait()
    eye = eye_of(image, upper, lower)
    half = eye.render(0.5)
    place = eye._opening
    below = (place.b > place.upper + 0.7 * place.gap) & (place.b < place.upper + 0.85 * place.gap)
    below &= place.gap > 10
    difference = np.abs(half[below].astype(int) - image[eye.box][below])
    assert below.sum() > 50
    assert difference.mean() < 8  # but for the lid's shadow


def test_the_iris_goes_with_the_gaze():
    image, upper, lower, _ = eye_portrait()
    eye = eye_of(image, upper, lower)
    columns = [np.nonzero((eye.render(1.0, np.array([x, 0.0])) < 90).all(-1)[20:])[1] for x in (0.0, 0.05)]
    assert 1.5 < columns[1].mean() - columns[0].mean() < 3.5  # 3 pixels
    assert abs(len(columns[1]) - len(columns[0])) < 0.15 * len(columns[0])


def test_skin_never_folds_and_far_skin_stands_still():
    random = np.random.default_rng(3)
    distance = np.linspace(0, 60, 400, dtype=np.float32)[None]
    for shift, keep in zip(random.uniform(-25, 25, 20), random.uniform(0, 8, 20), strict=True):
        source = slide(distance, np.full_like(distance, shift), keep, 30.0)
        assert (np.diff(source) > -1e-4).all()
        np.testing.assert_allclose(source[distance < keep], distance[distance < keep], atol=1e-4)
        if shift > -15:
            np.testing.assert_allclose(source[0, -20:], distance[0, -20:] - shift, atol=1e-3)


def test_an_eye_closes_from_above():
    image, upper, lower, _ = eye_portrait()
    eye = eye_of(image, upper, lower)
    whites = [(eye.render(o).min(-1) > 225).sum() for o in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert whites == sorted(whites, reverse=True)
    assert whites[0] > 4 * whites[-1]
    wide = (eye.render(1.2).min(-1) > 225).sum()
    assert wide > whites[0]


def lips_of(x, arch):
    """The 20 landmarks of a mouth at height 70 whose lips are 6 pixels thick."""
    wide = np.interp(np.linspace(0, 4, 7), range(5), x)
    outside = np.interp(np.linspace(0, 4, 7), range(5), arch) + 6 * np.sin(np.linspace(0, np.pi, 7))
    inner = [np.stack([x, 70 - arch], 1), np.stack([x, 70 + arch], 1)[1:-1][::-1]]
    outer = [np.stack([wide, 70 - outside], 1), np.stack([wide, 70 + outside], 1)[1:-1][::-1]]
    return np.concatenate([*outer, *inner])


@pytest.mark.parametrize("seen", [0.0, 8.0])
def test_a_mouth_opens_to_darkness_and_closes_over_teeth(seen):
    image = np.empty((140, 160, 3), np.uint8)
    image[:] = SKIN
    x = np.linspace(50, 110, 5)
    arch = seen / 2 * np.array([0, 0.9, 1, 0.9, 0])
    y, columns = np.mgrid[:140, :160]
    teeth = np.abs(y - 70) < np.interp(columns, x, arch, left=0, right=0)
    image[teeth] = WHITE
    mouth = Mouth(image, lips_of(x, arch), DOWN, UNIT, np.array(SKIN, np.float64))
    np.testing.assert_array_equal(mouth.render(mouth.gap), image[mouth.box])
    opened = mouth.render(mouth.gap + mouth.gap_change(14 * np.array([0.0, 0.7, 1.0, 0.7, 0.0])))
    assert (opened.max(-1) < 60).sum() > 60
    if seen:
        assert (opened.min(-1) > 225).sum() > 0.5 * teeth.sum()  # the teeth are still there
        closed = mouth.render(0 * mouth.gap)
        assert (closed.min(-1) > 225).sum() < 0.05 * teeth.sum()
    else:
        assert (
            (opened.min(-1) > 90) & (opened[..., 2] > opened[..., 0] - 50)
        ).sum() > 20  # teeth, paler than skin


def test_a_smile_lifts_the_lower_lid_and_leaves_the_upper_one():
    random = np.random.default_rng(7)
    image = random.integers(100, 200, (200, 220, 3)).astype(np.uint8)
    landmarks = UNIT * TEMPLATE[:, :2] + [110.0, 100.0]
    shape, down = TEMPLATE.copy(), UNIT * DOWN
    drawn = EyesAndMouth(image, landmarks, shape, down)
    parts = {name: drawn._openness(EYES[0], portrait_displacement(action(name))[:, 1]) for name in ACTIONS}
    assert parts["blink"][0] < 0.05
    assert parts["blink"][1] > 0.7
    assert 0.7 < parts["smile"][0] < 0.9
    assert parts["smile"][1] < 0.2
    shape[[40, 41, 46, 47], 1] -= 0.07  # eyes half as open: the same smile must not shut them
    narrow = EyesAndMouth(image, landmarks, shape, down)
    assert narrow._openness(EYES[0], portrait_displacement(action("smile"))[:, 1])[0] > 0.6
    for strength in random.uniform(-3, 3, 20):
        openness, upper_part = narrow._openness(EYES[0], strength * parts_of_lids(random))
        assert 0 <= openness <= 1.25
        assert 0 <= upper_part <= 1


def parts_of_lids(random):
    """A displacement along y of the eyes' landmarks alone."""
    dy = np.zeros(68)
    dy[36:48] = random.normal(0, 0.05, 12)
    return dy


def test_a_turned_mouth_does_not_gape_where_a_smile_narrows_it():
    image = np.full((140, 160, 3), 150, np.uint8)
    x = np.array([50.0, 56.0, 64.0, 73.0, 110.0])
    mouth = Mouth(image, lips_of(x, 4.0 * np.array([0, 0.9, 1, 0.9, 0])), DOWN, UNIT, np.full(3, 150.0))
    assert mouth.gap_change(np.array([0.0, 0.0, -1.0, 0.0, 0.0])).max() < 1e-6
    assert mouth.gap_change(np.array([0.0, 0.7, 1.0, 0.7, 0.0])).max() < 1 + 1e-6


def test_a_smile_bares_more_teeth():
    image = np.empty((140, 160, 3), np.uint8)
    image[:] = SKIN
    x = np.linspace(50, 110, 5)
    mouth = Mouth(image, lips_of(x, np.zeros(5)), DOWN, UNIT, np.array(SKIN, np.float64))
    gap = mouth.gap + mouth.gap_change(8 * np.array([0.0, 0.7, 1.0, 0.7, 0.0]))
    dark = [(mouth.render(gap, smile).max(-1) < 70).sum() for smile in (0.0, 0.5, 1.0)]
    assert dark[0] > dark[1] > dark[2]


def test_shared_displacement_leaves_openings_and_keeps_the_rest():
    dy = np.random.default_rng(2).normal(0, 0.05, 68)
    shared = shared_displacement() @ dy
    untouched = [*range(36), 36, 39, 42, 45, 48, 54, 60, 64]
    np.testing.assert_allclose(shared[untouched], dy[untouched], atol=1e-12)
    for upper, lower in zip(*MOUTH, strict=True):
        np.testing.assert_allclose(shared[upper], shared[lower] if upper != lower else dy[upper], atol=1e-12)
    for upper, _ in EYES:
        corners = sorted([shared[upper[0]], shared[upper[-1]]])
        assert corners[0] - 1e-9 <= shared[upper[1]] <= corners[1] + 1e-9
    rigid = shared_displacement() @ (0.3 + 0.1 * TEMPLATE[:, 0])
    np.testing.assert_allclose(rigid[EYES[0][0][1]], 0.3 + 0.1 * TEMPLATE[EYES[0][0][1], 0], atol=1e-9)

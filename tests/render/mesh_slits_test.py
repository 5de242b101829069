"""Lids and lips: what closes is covered by skin, not squashed, and what opens is dark."""

import numpy as np
import pytest

from lhg_jax.face_model import TEMPLATE
from lhg_jax.render.mesh.openings import EYES, MOUTH, shared_displacement
from lhg_jax.render.mesh.slits import Eye, Mouth

UNIT = 60.0
SKIN, WHITE, IRIS = (200, 150, 130), (245, 245, 245), (40, 30, 20)
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
    image[inside] = WHITE
    image[inside & ((x - 69) ** 2 + (y - 60) ** 2 < 40)] = IRIS
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8), upper, lower, inside


def test_a_closed_eye_is_skin_with_lashes():
    image, upper, lower, inside = eye_portrait()
    eye = Eye(image, upper, lower, DOWN, UNIT)
    closed = eye.render(0.0).astype(float)
    covered = inside[eye.box]
    lid = covered & (eye.b < eye.upper + 0.5 * eye.gap)
    assert np.abs(closed[lid] - SKIN).mean() < 25  # skin, where white and iris were
    assert (closed[covered].min(-1) > 225).mean() < 0.02  # no white is left
    line = closed[np.abs(eye.b - (eye.upper + 0.85 * eye.gap)) < 1.0].mean()
    assert line < closed[lid].mean() - 20


def test_a_half_closed_eye_keeps_the_lower_half_of_the_eyeball():
    image, upper, lower, _ = eye_portrait()
    eye = Eye(image, upper, lower, DOWN, UNIT)
    half = eye.render(0.5)
    below = (eye.b > eye.upper + 0.65 * eye.gap) & (eye.b < eye.upper + 0.85 * eye.gap) & (eye.gap > 10)
    difference = np.abs(half[below].astype(int) - image[eye.box][below])
    assert below.sum() > 50
    assert difference.mean() < 1


def test_an_eye_closes_from_above():
    image, upper, lower, _ = eye_portrait()
    eye = Eye(image, upper, lower, DOWN, UNIT)
    whites = [(eye.render(o).min(-1) > 225).sum() for o in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert whites == sorted(whites, reverse=True)
    assert whites[0] > 4 * whites[-1]
    wide = (eye.render(1.2).min(-1) > 225).sum()
    assert wide > whites[0]


@pytest.mark.parametrize("seen", [0.0, 8.0])
def test_a_mouth_opens_to_darkness_and_closes_over_teeth(seen):
    image = np.empty((140, 160, 3), np.uint8)
    image[:] = SKIN
    x = np.linspace(50, 110, 5)
    arch = seen / 2 * np.array([0, 0.9, 1, 0.9, 0])
    y, columns = np.mgrid[:140, :160]
    teeth = np.abs(y - 70) < np.interp(columns, x, arch, left=0, right=0)
    image[teeth] = WHITE
    dark = np.array([30, 10, 10], np.float32)
    mouth = Mouth(image, np.stack([x, 70 - arch], 1), np.stack([x, 70 + arch], 1), DOWN, UNIT, dark)
    np.testing.assert_array_equal(mouth.render(mouth.gap), image[mouth.box])
    opened = mouth.render(mouth.gap + 14 * np.float32(mouth.inside) * np.sin(np.pi * mouth.along))
    assert (opened.max(-1) < 60).sum() > 150
    if seen:
        assert (opened.min(-1) > 225).sum() > 0.5 * teeth.sum()  # the teeth are still there
        closed = mouth.render(0 * mouth.gap)
        assert (closed.min(-1) > 225).sum() < 0.05 * teeth.sum()


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

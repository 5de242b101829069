"""Portraits that are drawn smaller than they are."""

import cv2
import numpy as np
import pytest
import skimage.data

from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.pipeline.portrait import look
from lhg_jax.pipeline.stages import CallbackStages
from lhg_jax.util.errors import UserError


def photograph(side):
    """A grey photograph with a person whose picture is `side` pixels wide; the face about half of that."""
    image = np.full((900, 1400, 3), 127, np.uint8)
    person = skimage.data.astronaut()[:300, 60:460]
    image[300 : 300 + side * 3 // 4, 700 : 700 + side] = cv2.resize(person, (side, side * 3 // 4))
    return image


def seen(image, size):
    return look(image, LandmarkTracker(), None, size, CallbackStages(None))


def test_a_face_that_drawing_makes_too_small_is_told_in_pixels_of_the_photograph():
    small = photograph(150)
    assert seen(small, 1400)[0].shape == (900, 1400, 3)
    with pytest.raises(
        UserError, match=r"the face is \d\d of 1400 pixels wide, too small .* 600 x 386 .*--size"
    ):
        seen(small, 600)


def test_a_photograph_without_a_face_is_told_its_own_limit():
    with pytest.raises(UserError, match="in a picture of this size, 33 pixels wide or more"):
        seen(np.full((900, 1400, 3), 127, np.uint8), 600)


def test_a_face_that_is_large_enough_is_found_in_the_smaller_picture():
    image, fit = seen(photograph(600), 700)
    left, top, right, bottom = fit.box
    assert image.shape == (450, 700, 3) and 350 < left < right < 650 and 150 < top < bottom < 375

"""Identity embedding: the same person is near, another one far."""

import cv2
import matplotlib.cbook
import numpy as np
import pytest
from skimage import data

from lhg_jax import media
from lhg_jax.faces import dlib_models, identity
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.util.errors import MissingExtraError


def embedding(image: np.ndarray) -> np.ndarray:
    return identity.embed(image, LandmarkTracker().track_image(image).landmarks)


def test_same_person_is_near_and_another_far():
    collins = np.ascontiguousarray(data.astronaut()[:240, 100:340])
    changed = cv2.warpAffine(collins, cv2.getRotationMatrix2D((120, 120), 8, 0.9), (240, 240))
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        hopper = media.read_image(file.name)
    here = embedding(collins)
    assert identity.distance(here, here) == 0.0
    assert identity.distance(here, embedding(changed)) < 0.35
    assert identity.distance(here, embedding(hopper)) > 0.6


def test_missing_model_names_the_extra(monkeypatch):
    monkeypatch.setattr(dlib_models.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="pipeline"):
        dlib_models.model_path("shape_predictor_68_face_landmarks.dat")

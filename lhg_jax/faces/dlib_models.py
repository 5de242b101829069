"""dlib and its model files (packages dlib-bin and face_recognition_models), loaded once."""

import functools
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.util.errors import MissingExtraError


def import_dlib() -> Any:
    """The dlib module. Raises `MissingExtraError` where it is not installed."""
    try:
        import dlib
    except ImportError as error:
        raise MissingExtraError("face tracking", "pipeline") from error
    return dlib


def model_path(name: str) -> str:
    """Path of a model file of face_recognition_models.

    The package is located, not imported: its own code needs pkg_resources, which newer setuptools lack.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / "models" / name).is_file():
            return str(path)
    raise MissingExtraError("face tracking", "pipeline")


_own = threading.local()


def once_a_thread(load: Callable[[], Any]) -> Callable[[], Any]:
    """Keeps what `load` gives, one for each thread.

    A detector and a network of dlib work in memory of their own, and other threads run while they do: shared
    by two threads they corrupt it.
    """

    @functools.wraps(load)
    def get() -> Any:
        if not hasattr(_own, load.__name__):
            setattr(_own, load.__name__, load())
        return getattr(_own, load.__name__)

    return get


@once_a_thread
def frontal_detector() -> Any:
    """HOG detector of near-frontal upright faces of at least 80 x 80 pixels (King 2009)."""
    return import_dlib().get_frontal_face_detector()


@functools.cache
def shape_predictor() -> Any:
    """68 landmarks by an ensemble of regression trees (Kazemi & Sullivan 2014), trained on iBUG 300-W.

    Nothing in it changes while it works: threads share it.
    """
    return import_dlib().shape_predictor(model_path("shape_predictor_68_face_landmarks.dat"))


@once_a_thread
def face_embedder() -> Any:
    """ResNet of 29 layers that maps a face to 128 numbers; the same person is closer than 0.6 (King 2017)."""
    return import_dlib().face_recognition_model_v1(model_path("dlib_face_recognition_resnet_model_v1.dat"))


def rectangle(box: Float[np.ndarray, "4"]) -> Any:
    """A dlib rectangle of a box (left, top, right, bottom) in pixels."""
    left, top, right, bottom = (round(float(value)) for value in box)
    return import_dlib().rectangle(left, top, right - 1, bottom - 1)

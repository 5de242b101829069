"""How much two faces look like the same person: dlib's face embedding."""

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.faces import dlib_models


def embed(
    image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "128"]:
    """The embedding of the face with these landmarks (pixels) in an RGB image, float64, norm near 1.4."""
    dlib = dlib_models.import_dlib()
    box = dlib_models.rectangle(np.concatenate([landmarks.min(0), landmarks.max(0)]))
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks]
    shape = dlib.full_object_detection(box, points)
    return np.array(dlib_models.face_embedder().compute_face_descriptor(np.ascontiguousarray(image), shape))


def distance(a: Float[np.ndarray, "128"], b: Float[np.ndarray, "128"]) -> float:
    """Euclidean distance of two embeddings; below 0.6 the faces usually belong to one person."""
    return float(np.linalg.norm(a - b))

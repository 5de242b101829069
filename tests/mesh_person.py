"""A picture of a person whose parts and face are exactly known."""

import dataclasses

import numpy as np

from lhg_jax.face_model import TEMPLATE, FaceAnchor, project


@dataclasses.dataclass
class Fit:
    values: np.ndarray
    anchor: FaceAnchor
    landmarks: np.ndarray


SCALE, CENTRE = 20.0, np.array([110.0, 92.0])


def person_before_a_wall(size=(240, 220), angle=(0.0, 0.0, 0.0)):
    """A bluish wall with stripes; head of skin, body of cloth. Returns image, person's mask and fit.

    `angle`: the pose that the fit claims, rad.
    """
    random = np.random.default_rng(5)
    height, width = size
    y, x = (np.mgrid[:height, :width] - CENTRE[::-1, None, None]) / SCALE
    stripes = 20 * np.sign(np.sin(3 * x))[..., None]
    image = np.array([60.0, 90.0, 150.0]) + stripes + random.normal(0, 3, (height, width, 3))
    head = (x / 1.2) ** 2 + ((y + 0.5) / 1.9) ** 2 < 1
    body = (np.abs(x) < 0.7) & (y > 1) | (np.abs(x) < 2.6) & (y > 2.4)
    image[body] = np.array([120, 40, 40]) + random.normal(0, 3, (body.sum(), 3))
    image[head] = np.array([210, 160, 130]) + random.normal(0, 3, (head.sum(), 3))
    values = np.zeros(70)
    values[64:67] = angle
    anchor = FaceAnchor(CENTRE, SCALE, np.zeros_like(TEMPLATE))
    fit = Fit(values, anchor, project(anchor, values))
    return np.clip(image, 0, 255).astype(np.uint8), head | body, fit

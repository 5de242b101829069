"""The portrait: read, made small enough to draw, and its face found."""

import logging

import numpy as np

from lhg_jax import faces, media
from lhg_jax.faces.tracking_result import PortraitFit
from lhg_jax.pipeline.listening import Image
from lhg_jax.pipeline.source import AnyPath
from lhg_jax.pipeline.stages import Stages
from lhg_jax.util.errors import about

log = logging.getLogger(__name__)


def look(
    portrait: AnyPath | Image, tracker: faces.Tracker, face: int | None, size: int, timed: Stages
) -> tuple[Image, PortraitFit]:
    """The portrait as it is drawn and the fit of its face; what the user should know is logged.

    Args:
      portrait: a file, or RGB.
      tracker: of faces, in the renderer's space.
      face: which one, from the left, from 0; None is the largest.
      size: longest side (pixels) at which it is drawn.
      timed: told of the stage `portrait`.

    Raises:
      UserError: no picture, or no such face in it.
    """
    name = name_of(portrait)
    with timed.stage("portrait"), about(name):
        whole = portrait if isinstance(portrait, np.ndarray) else media.read_image(portrait)
        image = media.at_most(whole, size)
        fit = tracker.track_image(image, face)
    warnings = list(fit.warnings)
    if image.shape != whole.shape:
        sizes = [f"{picture.shape[1]} x {picture.shape[0]}" for picture in (image, whole)]
        warnings.append(f"drawn at {sizes[0]} of its {sizes[1]} pixels (--size takes another longest side)")
    for message in warnings:
        log.warning("%s: %s", name, message)
    return image, fit


def name_of(portrait: AnyPath | Image) -> str:
    """What messages call it."""
    return "portrait" if isinstance(portrait, np.ndarray) else str(portrait)

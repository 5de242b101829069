"""The portrait: read, made small enough to draw, and its face found."""

import logging

import numpy as np

from lhg_jax import faces, media
from lhg_jax.faces.tracking_result import NoFaceError, PortraitFit, choose
from lhg_jax.pipeline.arrays import require_images
from lhg_jax.pipeline.listening import Image, Whole
from lhg_jax.pipeline.source import AnyPath
from lhg_jax.pipeline.stages import Stages
from lhg_jax.util.errors import UserError, about

log = logging.getLogger(__name__)


def look(
    portrait: AnyPath | Whole, tracker: faces.Tracker, face: int | None, size: int, timed: Stages
) -> tuple[Image, PortraitFit]:
    """The portrait as it is drawn and the fit of its face; what the user should know is logged.

    Args:
      portrait: a file, or RGB.
      tracker: of faces, in the renderer's space.
      face: which one, from the left, from 0; None is the largest.
      size: longest side (pixels) at which it is drawn.
      timed: told of the stage `portrait`.

    Raises:
      UserError: no picture, no such face in it, or one that is too small at that size.
    """
    name = name_of(portrait)
    with timed.stage("portrait"), about(name):
        whole = _picture(portrait, name)
        image = media.at_most(whole, size)
        fit = _fit(image, whole, tracker, face)
    warnings = list(fit.warnings)
    if image.shape != whole.shape:
        sizes = [f"{picture.shape[1]} x {picture.shape[0]}" for picture in (image, whole)]
        warnings.append(f"drawn at {sizes[0]} of its {sizes[1]} pixels (--size takes another longest side)")
    for message in warnings:
        log.warning("%s: %s", name, message)
    return image, fit


def _fit(image: Image, whole: Whole, tracker: faces.Tracker, face: int | None) -> PortraitFit:
    """The fit of the face in the portrait as it is drawn; errors speak of the whole portrait's pixels."""
    try:
        return tracker.track_image(image, face)
    except NoFaceError:
        if image.shape == whole.shape:
            raise
    box, _ = choose(whole, face)
    raise UserError(
        f"the face is {box[2] - box[0]:.0f} of {whole.shape[1]} pixels wide, too small in a picture drawn at "
        f"{image.shape[1]} x {image.shape[0]} (cut the picture to the person, or give a larger --size)"
    )


def name_of(portrait: AnyPath | Whole) -> str:
    """What messages call it."""
    return "portrait" if isinstance(portrait, np.ndarray) else str(portrait)


def _picture(portrait: AnyPath | Whole, name: str) -> Image:
    if not isinstance(portrait, np.ndarray):
        return media.read_image(portrait)
    require_images(portrait, name, 3)
    return portrait

"""Reading still images as upright 8-bit RGB, and putting two side by side."""

import os
import warnings

import numpy as np
from jaxtyping import UInt8

from lhg_jax.media import libav
from lhg_jax.media.video import read_frames
from lhg_jax.util.errors import UserError


def read_image(path: str | os.PathLike) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a picture in any mode: EXIF rotation applied, transparency over white, 16 bit scaled to 8.

    Of an animation or a video, the first frame.

    Raises:
      UserError: not there, no picture, damaged, or without pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    libav.require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large pictures, odd metadata: both are read all the same
            with Image.open(path) as image:
                return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return _first_frame(path)
    except Image.DecompressionBombError:
        raise UserError(f"{path}: has too many pixels for a portrait (scale it down)") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UserError(f"{path}: is no picture that can be read ({error})") from None


def _rgb(image) -> UInt8[np.ndarray, "height width 3"]:
    """A PIL image of any mode as an array."""
    from PIL import Image

    if 0 in image.size:
        raise ValueError("no pixels")
    if image.mode.startswith("I") or image.mode == "F":
        return _rgb(Image.fromarray(_eight_bit(np.asarray(image, np.float64))))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _eight_bit(values: np.ndarray) -> UInt8[np.ndarray, "height width"]:
    """Grey values above 8 bit: 16-bit integers by their range, floats in [0, 1] by theirs."""
    top = values.max(initial=0)
    full = 1.0 if top <= 1.0 else 65535.0 if top <= 65535.0 else float(top)
    return np.clip(np.round(values * (255.0 / full)), 0, 255).astype(np.uint8)


def _first_frame(path: str | os.PathLike) -> UInt8[np.ndarray, "height width 3"]:
    try:
        return next(read_frames(path)).image
    except UserError:
        raise UserError(f"{path}: is neither a picture nor a video") from None


def side_by_side(
    left: UInt8[np.ndarray, "height1 width1 3"], right: UInt8[np.ndarray, "height2 width2 3"]
) -> UInt8[np.ndarray, "height2 width 3"]:
    """Puts two images next to each other, `left` scaled to the height of `right` with its aspect kept."""
    import cv2

    height = right.shape[0]
    width = max(1, round(left.shape[1] * height / left.shape[0]))
    shrinks = height < left.shape[0]
    resized = cv2.resize(left, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.concatenate([resized, right], axis=1)

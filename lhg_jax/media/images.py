"""Reading still images as upright 8-bit RGB, and putting two side by side."""

import contextlib
import io
import math
import os
import warnings

import numpy as np
from jaxtyping import UInt8

from lhg_jax.media import libav
from lhg_jax.media.deep_tiff import eight_bit, is_deep, is_tiff, is_white_zero, read_deep_tiff
from lhg_jax.media.video import read_frames
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import MissingExtraError, UserError

# Of pictures that come from elsewhere: more pixels than phones take, 200 MB decoded; and the formats of
# photographs only, because for some others (EPS) Pillow runs programs.
MAX_PIXELS = 64e6
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF")


def read_image(path: str | os.PathLike) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a picture in any mode: EXIF rotation applied, transparency over white, 16 bit scaled to 8.

    Colours become those of sRGB where the file has a profile. Of an animation or a video, the first frame.

    Raises:
      UserError: not there, no picture, damaged, or without pixels.
    """
    libav.require_file(path)
    image = _decode(path, path)
    if image is None and is_tiff(path):
        return _deep(path)
    return _first_frame(path) if image is None else image


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """The picture of a file in memory, read as `read_image` does; `name` is for messages.

    Raises:
      UserError: no picture (a video is none here), damaged, without pixels, or with more than `MAX_PIXELS`.
    """
    image = _decode(io.BytesIO(data), name, MAX_PIXELS, FORMATS)
    if image is None:
        raise UserError(f"{name}: is no picture that can be read (it may be {', '.join(FORMATS)})")
    return image


def _decode(
    source: str | os.PathLike | io.BytesIO,
    name: str | os.PathLike,
    most_pixels: float = math.inf,
    formats: tuple[str, ...] | None = None,
) -> UInt8[np.ndarray, "height width 3"] | None:
    """The picture in a file; None where Pillow knows no such kind of file, or it is none of `formats`."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    _know_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large pictures, odd metadata: both are read all the same
            with Image.open(source, formats=formats) as image:
                if image.width * image.height > most_pixels:
                    raise Image.DecompressionBombError
                if isinstance(source, str | os.PathLike) and is_deep(image):
                    return _deep(source, image)
                return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError:
        raise UserError(f"{name}: has too many pixels for a portrait (scale it down)") from None
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError) as error:
        raise UserError(f"{name}: is no picture that can be read ({error})") from None


def write_image(path: str | os.PathLike, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Writes an RGB picture in the format of the suffix. Raises `UserError` where it cannot be written."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary)


def _know_heif() -> None:
    """Lets Pillow open the pictures of phones; FFmpeg shows but the first tile of them."""
    try:
        import pi_heif
    except ImportError:
        raise MissingExtraError("reading pictures", "pipeline") from None
    pi_heif.register_heif_opener(thumbnails=False)


def _rgb(image) -> UInt8[np.ndarray, "height width 3"]:
    """A PIL image of any mode as an array in sRGB."""
    from PIL import Image

    if 0 in image.size:
        raise ValueError("no pixels")
    if image.mode.startswith("I") or image.mode == "F":
        return _rgb(Image.fromarray(eight_bit(np.asarray(image))))
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    return np.array(_in_srgb(image, profile))


def _in_srgb(image, profile: bytes | None):
    """The image in the colours that its profile means; where that cannot be read, as it is."""
    from PIL import ImageCms

    if not profile:
        return image.convert("RGB")
    image = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
    with contextlib.suppress(ImageCms.PyCMSError, OSError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")


def _deep(path: str | os.PathLike, opened=None) -> UInt8[np.ndarray, "height width 3"]:
    """A TIFF of more than 8 bits; `opened` is Pillow's view of it, which knows the profile."""
    from PIL import Image, ImageOps

    try:
        image = Image.fromarray(read_deep_tiff(path, opened is not None and is_white_zero(opened)))
    except ValueError as error:
        if opened is None:
            raise UserError(f"{path}: is no picture that can be read ({error})") from None
        return _rgb(ImageOps.exif_transpose(opened))
    image.info["icc_profile"] = opened and opened.info.get("icc_profile")
    return _rgb(image)


def _first_frame(path: str | os.PathLike) -> UInt8[np.ndarray, "height width 3"]:
    try:
        return next(read_frames(path)).image
    except UserError:
        raise UserError(f"{path}: is neither a picture nor a video") from None


def at_most(image: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "height2 width2 3"]:
    """The image, shrunk where its longer side is longer than `side` pixels."""
    import cv2

    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * length)) for length in image.shape[1::-1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


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

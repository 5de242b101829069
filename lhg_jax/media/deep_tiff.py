"""TIFF pictures of more than 8 bits a channel, which Pillow reads in part, and FFmpeg by wrong rules."""

import os

import numpy as np
from jaxtyping import Shaped, UInt8

Values = Shaped[np.ndarray, "height width *channels"]

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # little and big endian, BigTIFF
BITS, PHOTOMETRIC, PLANES = 258, 262, 284  # tags of TIFF 6.0, section 8
WHITE_IS_ZERO, ONE_BY_ONE = 0, 2  # values of the second and the third

# What white may be in numbers of each kind: the first that all of them are below. 12 bits go into 16.
WHITES = {
    "float": (1.0, 255.0, 65535.0),
    "uint8": (255.0,),
    "uint16": (4095.0, 65535.0),
    "int16": (255.0, 4095.0, 32767.0),
}
OTHER_WHITES = (255.0, 65535.0)  # wider integers; beyond, they are scaled by the range they fill


def is_tiff(path: str | os.PathLike) -> bool:
    """Whether a file is a TIFF picture of any kind."""
    with open(path, "rb") as file:
        return file.read(4) in MAGIC


def is_deep(image) -> bool:
    """Whether a PIL image comes from such a file. Raises ValueError for a layout that nothing here reads."""
    deep = image.format == "TIFF" and max(image.tag_v2.get(BITS, (8,))) > 8
    if deep and image.tag_v2.get(PLANES) == ONE_BY_ONE and image.mode == "RGB":
        raise ValueError("its colours stand one behind the other; save it with colours side by side")
    return deep


def is_white_zero(image) -> bool:
    """Whether the largest numbers of such a picture are black."""
    return image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO


def read_deep_tiff(
    path: str | os.PathLike, white_is_zero: bool
) -> UInt8[np.ndarray, "height width *channels"]:
    """Grey, RGB or RGBA of 8 bits, upright. Raises ValueError for what OpenCV cannot read (16-bit floats)."""
    import cv2

    logging = cv2.utils.logging  # it would write to the terminal
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(error.err) from None
    finally:
        logging.setLogLevel(level)
    if values is None or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise ValueError("a kind of TIFF that is not known")
    grey = eight_bit(values)
    if white_is_zero:
        return 255 - grey
    return grey if grey.ndim == 2 else np.ascontiguousarray(grey[..., [2, 1, 0, 3][: grey.shape[2]]])


def eight_bit(values: Values) -> UInt8[np.ndarray, "height width *channels"]:
    """Numbers of any kind by the range they fill: floats up to 1 are parts of white, up to 255 8-bit ones."""
    kind = "float" if values.dtype.kind == "f" else values.dtype.name
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    full = next((white for white in WHITES.get(kind, OTHER_WHITES) if top <= white), top)
    return np.clip(np.round(values * (255.0 / full)), 0, 255).astype(np.uint8)

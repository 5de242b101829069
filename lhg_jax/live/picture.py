"""Pictures between the work process and the client: JPEG."""

import cv2
import numpy as np
from jaxtyping import UInt8

QUALITY = 85

Image = UInt8[np.ndarray, "height width 3"]


def encode_jpeg(image: Image) -> bytes:
    """An RGB picture as JPEG."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def decode_jpeg(data: bytes) -> Image | None:
    """The picture as RGB; None where it is damaged."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)

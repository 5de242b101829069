"""How a decoded frame is shown: upright, with square pixels, in the colours of an ordinary screen."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from lhg_jax.media import libav

Image = UInt8[np.ndarray, "height width 3"]

HDR_TRANSFERS = (16, 18)  # PQ (SMPTE ST 2084) and HLG (ARIB STD-B67) in H.264's numbering
# Colour matrices that FFmpeg's scaler refuses, and what players take in their place: that of BT.2020 for its
# rarer forms (constant luminance, ICtCp), none for the others.
REFUSED_MATRICES = {8: 2, 10: 9, 11: 2, 12: 2, 13: 2, 14: 9}


class Display:
    """Turns a stream's frames into RGB images, all as large as the first one."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._size: tuple[int, int] | None = None
        self._tone_mapping: Any = None

    def __call__(self, frame: Any) -> Image:
        """The frame as it is shown; one of another shape than the first keeps its aspect, on black."""
        image = turned(self._rgb(frame), frame)
        self._size = self._size or image.shape[:2]
        return image if image.shape[:2] == self._size else _fitted(image, *self._size)

    def _rgb(self, frame: Any) -> Image:
        width, height = square_pixels(frame.width, frame.height, self._stream.sample_aspect_ratio)
        frame.colorspace = REFUSED_MATRICES.get(frame.colorspace, frame.colorspace)
        if frame.color_trc in HDR_TRANSFERS:
            frame = self._to_bt709(frame)
        return frame.to_ndarray(format="rgb24", width=width, height=height)

    def _to_bt709(self, frame: Any) -> Any:
        """Maps high dynamic range to that of a screen: shown plainly, it is grey and dark."""
        kind = frame.width, frame.height, frame.format.name
        if self._tone_mapping is None or self._tone_mapping[0] != kind:
            self._tone_mapping = kind, _bt709_graph(self._stream, frame)
        graph = self._tone_mapping[1]
        graph.push(frame)
        return graph.pull()


def _bt709_graph(stream: Any, frame: Any) -> Any:
    graph = libav.av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
    )
    mapping = graph.add("scale", "out_primaries=bt709:out_transfer=bt709:out_range=pc")
    last = [graph.add("format", "rgb24"), graph.add("buffersink")]
    for left, right in zip([source, mapping, last[0]], [mapping, *last], strict=True):
        left.link_to(right)
    graph.configure()
    return graph


def square_pixels(width: int, height: int, aspect: Any) -> tuple[int, int]:
    """Size (width, height) with square pixels: the side whose pixels are long grows, so nothing is lost.

    `aspect` is the width of a pixel over its height, None or 0 where the file does not say.
    """
    if not aspect or not 0.1 < aspect < 10:  # far off: a damaged header
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def turned(image: Image, frame: Any) -> UInt8[np.ndarray, "shown_height shown_width 3"]:
    """The image turned and mirrored as the frame's display matrix says."""
    try:
        entry = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV meets a kind of side data that it does not know: then at least the rotation
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
    if entry is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(entry)[:20], "<i4").tolist()
    # x' = a x + c y, y' = b x + d y; angles between the axes go to the nearest one.
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, a, d = image.transpose(1, 0, 2), c, b
    image = image[:, ::-1] if a < 0 else image
    image = image[::-1] if d < 0 else image
    return np.ascontiguousarray(image)


def _fitted(image: Image, new_height: int, new_width: int) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """The image scaled into a black one of the given size."""
    import cv2

    scale = min(new_height / image.shape[0], new_width / image.shape[1])
    inner = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (new_width - inner[0]) // 2, (new_height - inner[1]) // 2
    fitted = np.zeros((new_height, new_width, 3), np.uint8)
    fitted[top : top + inner[1], left : left + inner[0]] = small
    return fitted

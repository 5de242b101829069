"""Messages of the live websocket that are none, and small pictures."""

import io

import numpy as np
from PIL import Image

from lhg_jax.live import protocol


def jpeg(width=32, height=24, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


BAD_TEXT = [
    "",
    "{",
    "[" * 5000,
    "[" * 1500,
    "1",
    "[]",
    '"want"',
    '{"type": "dance"}',
    '{"type": ["want"]}',
    '{"type": "want"}',
    '{"type": "want", "frames": 0}',
    '{"type": "want", "frames": true}',
    '{"type": "want", "frames": "2"}',
    f'{{"type": "want", "frames": {protocol.MAX_WANTED + 1}}}',
    '{"type": "ping", "time_us": NaN}',
    '{"type": "ping", "time_us": -1}',
    '{"type": "ping", "time_us": 1e400}',
    '{"type": "manner", "liveliness": 3, "attitude": 0}',
    '{"type": "manner", "liveliness": 1}',
    '{"type": "manner", "liveliness": Infinity, "attitude": 0}',
    "x" * (protocol.MAX_TEXT + 1),
]


def head(kind):
    return protocol.HEAD.pack(kind, 5)


BAD_BINARY = {
    "nothing": b"",
    "half a head": b"S1234567",
    "no such kind": head(b"X") + b"12",
    "a frame": protocol.frame_bytes(1, 2, b"x"),
    "no sound": head(b"S"),
    "half a sample": head(b"S") + b"123",
    "long sound": head(b"S") + bytes(protocol.MAX_SOUND + 2),
    "no picture": head(b"I"),
    "a picture of another kind": head(b"I") + b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a large file": head(b"I") + jpeg() + bytes(protocol.MAX_PICTURE),
    "too wide": head(b"I") + jpeg(protocol.MAX_SIDE + 1, 8),
    "no portrait": head(b"P"),
    "a large portrait": head(b"P") + bytes(protocol.MAX_PORTRAIT + 1),
}

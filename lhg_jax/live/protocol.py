"""What goes over the websocket of a live session: messages as types, and their bytes (docs/live.md).

A binary message is one byte of kind, eight bytes of time (unsigned, little-endian, microseconds on the
client's own clock), and what belongs to the kind. A text message is one JSON object with a `type`.
"""

import dataclasses
import io
import json
import math
import struct
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.live.manner import Manner

VERSION = 1
SAMPLE_RATE = 16_000  # Hz
HEAD = struct.Struct("<cQ")
FRAME_HEAD = struct.Struct("<cQI")
SOUND, PICTURE, PORTRAIT, FRAME = b"S", b"I", b"P", b"F"

MAX_SOUND = 2 * SAMPLE_RATE // 4  # bytes: a quarter of a second
MAX_PICTURE, MAX_SIDE = 512 * 1024, 1280  # bytes and pixels of a picture of the speaker
MAX_PORTRAIT = 12 * 1024 * 1024  # bytes
MAX_TEXT = 2048
MAX_MESSAGE = MAX_PORTRAIT + HEAD.size
MAX_WANTED = 8  # frames that a client may ask for before they come


class ProtocolError(Exception):
    """A message that is none; the text is the reason with which its socket is closed."""


@dataclasses.dataclass(frozen=True)
class Sound:
    """Samples of the speaker.

    Attributes:
      time_us: when the first one was heard, on the client's clock.
      pcm: 16-bit little-endian mono at 16 kHz.
    """

    time_us: int
    pcm: bytes

    @property
    def samples(self) -> Float[np.ndarray, "samples"]:
        """In [-1, 1]."""
        return np.frombuffer(self.pcm, "<i2").astype(np.float32) / 32768


@dataclasses.dataclass(frozen=True)
class Picture:
    """The speaker at `time_us` on the client's clock, as JPEG."""

    time_us: int
    jpeg: bytes


@dataclasses.dataclass(frozen=True)
class Portrait:
    """Another listener: a picture file of any format that `sample` reads."""

    data: bytes


@dataclasses.dataclass(frozen=True)
class Want:
    """The client can show so many more frames."""

    frames: int


@dataclasses.dataclass(frozen=True)
class Ping:
    """Asks for a `pong` with the same time (microseconds, on the client's clock)."""

    time_us: int


Message = Sound | Picture | Portrait | Want | Ping | Manner


def parse(data: bytes | str) -> Message:
    """A client's message. Raises `ProtocolError` for anything that is none; decodes no picture."""
    return _parse_text(data) if isinstance(data, str) else _parse_binary(data)


def _parse_binary(data: bytes) -> Message:
    if len(data) < HEAD.size:
        raise ProtocolError(f"a binary message has {HEAD.size} bytes or more")
    kind, time_us = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    if kind == SOUND:
        if not body or len(body) % 2 or len(body) > MAX_SOUND:
            raise ProtocolError(f"sound is 16-bit samples, at most {MAX_SOUND} bytes")
        return Sound(time_us, body)
    if kind == PICTURE:
        _require_jpeg(body)
        return Picture(time_us, body)
    if kind == PORTRAIT:
        if not body or len(body) > MAX_PORTRAIT:
            raise ProtocolError(f"a portrait has at most {MAX_PORTRAIT >> 20} MB")
        return Portrait(body)
    raise ProtocolError("no such kind of binary message")


def _require_jpeg(data: bytes) -> None:
    """Raises `ProtocolError` unless the head of the file is that of a JPEG of sensible size."""
    from PIL import Image

    if len(data) > MAX_PICTURE:
        raise ProtocolError(f"a picture has at most {MAX_PICTURE >> 10} kB")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            fits = max(image.size) <= MAX_SIDE
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        raise ProtocolError("a picture is a JPEG") from None
    if not fits:
        raise ProtocolError(f"a picture has at most {MAX_SIDE} pixels a side")


def _parse_text(text: str) -> Message:
    if len(text) > MAX_TEXT:
        raise ProtocolError(f"a text message has at most {MAX_TEXT} characters")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("a text message is JSON") from None
    kind = fields.get("type") if isinstance(fields, dict) else None
    if kind == "want":
        return Want(int(_number(fields, "frames", 1.0, float(MAX_WANTED))))
    if kind == "ping":
        return Ping(int(_number(fields, "time_us", 0.0, 2.0**53)))
    if kind == "manner":
        return Manner(_number(fields, "liveliness", 0.0, 2.0), _number(fields, "attitude", -1.0, 1.0))
    raise ProtocolError("no such type of text message")


def _number(fields: dict[str, Any], name: str, least: float, most: float) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ProtocolError(f"{name} is a number")
    if not math.isfinite(value) or not least <= value <= most:
        raise ProtocolError(f"{name} is between {least:g} and {most:g}")
    return float(value)


def frame_bytes(time_us: int, number: int, jpeg: bytes) -> bytes:
    """A frame for the client; `number` counts the frames of the model, so that gaps show what was dropped."""
    return FRAME_HEAD.pack(FRAME, time_us, number & 0xFFFFFFFF) + jpeg


def read_frame(data: bytes) -> tuple[int, int, bytes]:
    """(time in microseconds on the client's clock, number, JPEG) of `frame_bytes`."""
    kind, time_us, number = FRAME_HEAD.unpack_from(data)
    if kind != FRAME:
        raise ProtocolError("not a frame")
    return time_us, number, data[FRAME_HEAD.size :]


def message_bytes(message: Sound | Picture | Portrait) -> bytes:
    """A client's binary message."""
    if isinstance(message, Portrait):
        return HEAD.pack(PORTRAIT, 0) + message.data
    kind, body = (SOUND, message.pcm) if isinstance(message, Sound) else (PICTURE, message.jpeg)
    return HEAD.pack(kind, message.time_us) + body

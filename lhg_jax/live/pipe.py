"""Objects between the process that speaks to clients and the one that works: length, then pickle.

Both ends are ours, so pickles are safe here; nothing that a client sends is ever read as one.
"""

import asyncio
import dataclasses
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8

LENGTH = struct.Struct("<I")
Image = UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class Setup:
    """The first message to the work process.

    Attributes:
      portrait: RGB, the whole picture.
      checkpoint: a causal listener; None: the package's.
      size: longest side of the frames, pixels.
    """

    portrait: Image
    checkpoint: Path | None
    size: int


@dataclasses.dataclass(frozen=True)
class Begin:
    """A new session, with a number of its own."""

    session: int


@dataclasses.dataclass(frozen=True)
class End:
    """There is no session now."""


@dataclasses.dataclass(frozen=True)
class NewPortrait:
    """Another listener: a picture, or the file of one that a client has sent."""

    picture: Image | bytes


@dataclasses.dataclass(frozen=True)
class Ready:
    """Compiled and warmed up."""


@dataclasses.dataclass(frozen=True)
class Failed:
    """The work process cannot start with what the user gave it."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Alive:
    """Sent every second.

    Attributes:
      seen: whether the speaker's face is.
      load: part of the second that was worked.
      looked: pictures in which the face was looked for.
    """

    seen: bool
    load: float
    looked: int


@dataclasses.dataclass(frozen=True)
class DrawnFrame:
    """A frame of the listener.

    Attributes:
      session: for which it was drawn.
      time_s: its time on our clock.
      number: counts model frames since the clock's start; a gap is frames that were not drawn.
      jpeg: the picture.
    """

    session: int
    time_s: float
    number: int
    jpeg: bytes


@dataclasses.dataclass(frozen=True)
class PortraitShown:
    """The listener's picture at rest, as it is drawn now."""

    session: int
    image: Image


@dataclasses.dataclass(frozen=True)
class Refused:
    """A client's portrait, or its picture of the speaker, cannot be used."""

    session: int
    what: str
    reason: str


def pack(message: Any) -> bytes:
    """The bytes of an object."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def read(stream: BinaryIO) -> Any:
    """The next object. Raises EOFError where the other end is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    return pickle.loads(stream.read(LENGTH.unpack(head)[0]))


async def read_async(stream: asyncio.StreamReader) -> Any:
    """The next object. Raises `asyncio.IncompleteReadError`, an EOFError, where the other end is gone."""
    length = LENGTH.unpack(await stream.readexactly(LENGTH.size))[0]
    return pickle.loads(await stream.readexactly(length))

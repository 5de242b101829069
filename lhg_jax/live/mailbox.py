"""What waits between two ends that run at their own pace, and how it is kept from growing.

Of pictures only the newest is of use. Sound is kept whole, up to a time; after a stall, when more has piled
up, all of it is let go at once, because nobody catches up with what was said meanwhile. Commands are few,
and wait in order.
"""

import collections
import dataclasses
import threading
from typing import Any

MAX_SOUND_S = 1.0


@dataclasses.dataclass(frozen=True)
class HeardSound:
    """16 kHz mono samples (16-bit little-endian) of which the first was heard at `time_s`."""

    time_s: float
    pcm: bytes


@dataclasses.dataclass(frozen=True)
class SeenPicture:
    """The speaker at `time_s`, as JPEG."""

    time_s: float
    jpeg: bytes


class Mailbox:
    """Takes messages from one side until the other asks for them. May be used from several threads.

    Attributes:
      dropped_pictures, dropped_sounds: how many were let go.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._commands: collections.deque[Any] = collections.deque()
        self._sounds: collections.deque[HeardSound] = collections.deque()
        self._picture: SeenPicture | None = None
        self.dropped_pictures = self.dropped_sounds = 0

    def put(self, message: Any) -> None:
        """Takes sound, a picture, or a command (anything else)."""
        with self._lock:
            if isinstance(message, HeardSound):
                self._put_sound(message)
            elif isinstance(message, SeenPicture):
                self.dropped_pictures += self._picture is not None
                self._picture = message
            else:
                self._commands.append(message)
            self._lock.notify_all()

    def _put_sound(self, sound: HeardSound) -> None:
        if self._sounds and sound.time_s - self._sounds[0].time_s > MAX_SOUND_S:
            self.dropped_sounds += len(self._sounds)
            self._sounds.clear()
        self._sounds.append(sound)

    def wait(self, timeout_s: float) -> None:
        """Returns as soon as something waits, or after `timeout_s`."""
        with self._lock:
            if not (self._commands or self._sounds or self._picture):
                self._lock.wait(timeout_s)

    def take(self) -> list[Any]:
        """Everything that waits: commands, then sound, then the picture."""
        with self._lock:
            waiting = [*self._commands, *self._sounds]
            if self._picture is not None:
                waiting.append(self._picture)
            self._commands.clear()
            self._sounds.clear()
            self._picture = None
            return waiting

    def clear(self) -> None:
        """Lets go of everything."""
        self.take()

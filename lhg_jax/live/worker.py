"""The work process of a live session: tracks, listens, draws; speaks to the server through its pipes.

Started by `work_process.py` as `python -m lhg_jax.live.worker`. It never waits for the server: a thread of
its own reads what comes, and of what cannot be used in time only the newest is.
"""

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import cv2

from lhg_jax.live import pipe
from lhg_jax.live.listener import LiveFrame, LiveListener
from lhg_jax.live.mailbox import HeardSound, Mailbox, SeenPicture
from lhg_jax.live.manner import Manner
from lhg_jax.live.picture import decode_jpeg, encode_jpeg
from lhg_jax.live.portrait import frame_head, read_portrait
from lhg_jax.live.protocol import MAX_WANTED, Sound, Want
from lhg_jax.motion import FRAME_RATE
from lhg_jax.util.compilation_cache import use_compilation_cache
from lhg_jax.util.errors import UserError

TICK_S = 0.008  # between two looks at the clock, where nothing comes
ALIVE_S = 1.0
# Frames go first: finding the speaker's face gets so much of the time as they leave of FULL, within limits.
# Between pictures the speaker's motion is held.
FULL, LEAST_TRACKING, MOST_TRACKING = 0.85, 0.08, 0.35
MAX_TRACK_PAUSE_S = 2.0
MAX_DRAWN = 3  # of the frames that are due at once, so many are drawn: those before them are too late

Send = Callable[[Any], None]


class Closed:
    """The server has gone."""


class Work:
    """The listener of one server, one session after the other."""

    def __init__(self, setup: pipe.Setup, send: Send):
        """Loads and warms up. Raises `UserError` for what cannot be used."""
        self._size, self._send = setup.size, send
        self._original = frame_head(read_portrait(setup.portrait), setup.size)
        self._listener = LiveListener(self._original, setup.checkpoint)
        self._listener.warm_up()
        self._portrait = self._original
        self._session: int | None = None
        self._wanted, self._seen, self._looked = 0, False, 0
        self._track_after = 0.0
        self._frames_s, self._frames_share = 0.0, 0.5  # seconds of this second; part of the one before
        self._worked_s, self._told_s = 0.0, time.monotonic()

    def run(self, mailbox: Mailbox) -> None:
        """Works until the server is gone."""
        self._send(pipe.PortraitShown(-1, self._portrait))
        self._send(pipe.Ready())
        while True:
            mailbox.wait(TICK_S if self._session is not None else ALIVE_S / 2)
            start = time.monotonic()
            for message in mailbox.take():
                if isinstance(message, Closed):
                    return
                self._handle(message)
            if self._session is not None:
                self._answer(time.monotonic())
            self._worked_s += time.monotonic() - start
            self._tell_alive()

    def _handle(self, message: Any) -> None:
        """One message of the server's."""
        if isinstance(message, pipe.Begin):
            self._begin(message.session)
        elif isinstance(message, pipe.End):
            self._session = None
            self._change_portrait(self._original)
        elif isinstance(message, pipe.NewPortrait):
            self._take_portrait(message.picture)
        elif isinstance(message, Want):
            self._wanted = min(self._wanted + message.frames, MAX_WANTED)
        elif isinstance(message, Manner):
            self._listener.manner = message
        elif isinstance(message, HeardSound) and self._session is not None:
            self._listener.push_audio(Sound(0, message.pcm).samples, message.time_s)
        elif isinstance(message, SeenPicture) and self._session is not None:
            self._see(message)

    def _begin(self, session: int) -> None:
        self._session, self._wanted, self._seen = session, 0, False
        self._listener.restart()

    def _take_portrait(self, picture: pipe.Image | bytes) -> None:
        """Changes the listener; where that cannot be done, says why and goes on with the one before."""
        try:
            self._change_portrait(frame_head(read_portrait(picture), self._size))
        except UserError as error:
            self._send(pipe.Refused(self._session or 0, "portrait", str(error)))

    def _change_portrait(self, portrait: pipe.Image) -> None:
        if portrait is self._portrait:
            return
        manner = self._listener.manner
        self._listener.change_portrait(portrait)
        self._listener.manner, self._portrait = manner, portrait
        self._send(pipe.PortraitShown(-1 if self._session is None else self._session, portrait))

    def _see(self, picture: SeenPicture) -> None:
        """Looks for the speaker's face, unless that would take time from the frames."""
        start = time.monotonic()
        if start < self._track_after:
            return
        image = decode_jpeg(picture.jpeg)
        if image is None:
            self._send(pipe.Refused(self._session or 0, "picture", "a picture that cannot be decoded"))
            return
        self._seen = self._listener.push_image(image, picture.time_s)
        self._looked += 1
        end = time.monotonic()
        share = min(max(FULL - self._frames_share, LEAST_TRACKING), MOST_TRACKING)
        self._track_after = end + min((end - start) * (1 / share - 1), MAX_TRACK_PAUSE_S)

    def _answer(self, now_s: float) -> None:
        """Steps through the frames that are due, and draws the newest as far as they are wanted."""
        start = time.monotonic()
        for frame in self._listener.frames(now_s)[-MAX_DRAWN:]:
            if self._wanted:
                self._wanted -= 1
                self._send(self._drawn(frame))
        self._frames_s += time.monotonic() - start

    def _drawn(self, frame: LiveFrame) -> pipe.DrawnFrame:
        assert self._session is not None
        number = round(frame.time_s * FRAME_RATE)
        return pipe.DrawnFrame(self._session, frame.time_s, number, encode_jpeg(frame.draw()))

    def _tell_alive(self) -> None:
        now = time.monotonic()
        if (passed := now - self._told_s) >= ALIVE_S:
            self._send(pipe.Alive(self._seen, min(self._worked_s / passed, 1.0), self._looked))
            self._frames_share = min(self._frames_s / passed, 1.0)
            self._worked_s, self._frames_s, self._looked, self._told_s = 0.0, 0.0, 0, now


def receive(stream: BinaryIO, mailbox: Mailbox) -> None:
    """Puts what comes into the mailbox until the server is gone."""
    try:
        while True:
            mailbox.put(pipe.read(stream))
    except (EOFError, OSError):
        mailbox.put(Closed())


def main() -> None:
    """Runs the work process on its standard input and output."""
    answers = io.FileIO(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not reach the server
    source = sys.stdin.buffer

    def send(message: Any) -> None:
        data = memoryview(pipe.pack(message))
        while data:
            data = data[answers.write(data) :]

    use_compilation_cache()
    cv2.setNumThreads(1)
    try:
        work = Work(pipe.read(source), send)
    except UserError as error:
        send(pipe.Failed(str(error)))
        return
    mailbox = Mailbox()
    threading.Thread(target=receive, args=(source, mailbox), daemon=True).start()
    work.run(mailbox)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt, EOFError):  # the server has gone; Ctrl-C goes to both
        os._exit(1)

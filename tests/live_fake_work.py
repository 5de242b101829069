"""A work process without a listener: grey frames, brighter when told to be livelier; run as a script."""

import io
import os
import sys
import threading
import time

import numpy as np
from PIL import Image

from lhg_jax.live import pipe
from lhg_jax.live.mailbox import HeardSound, Mailbox, SeenPicture
from lhg_jax.live.manner import Manner
from lhg_jax.live.protocol import Want


def frame(grey, number):
    """A JPEG of one grey with a bar that moves; the number of this process stands behind the picture."""
    pixels = np.full((96, 96), grey, np.uint8)
    pixels[:8, number % 96 :] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue() + b"%d" % os.getpid()


def main():
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    send = lambda message: output.write(pipe.pack(message))  # noqa: E731
    source, box = sys.stdin.buffer, Mailbox()
    setup = pipe.read(source)
    if setup.size == 999:
        return send(pipe.Failed("the portrait: no face found"))
    if setup.size == 998:
        return None
    if setup.size == 997:
        time.sleep(600)
    send(pipe.PortraitShown(-1, setup.portrait))
    send(pipe.Ready())

    def receive():
        try:
            while True:
                box.put(pipe.read(source))
        except EOFError:
            os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    session = wanted = 0
    number, grey, heard = 0, 100, {HeardSound: 0, SeenPicture: 0}
    while True:
        for message in box.take():
            if isinstance(message, pipe.Begin):
                session, wanted = message.session, 0
            elif isinstance(message, Want):
                wanted += message.frames
            elif isinstance(message, Manner):
                grey = round(50 + 50 * message.liveliness + 40 * message.attitude)
            elif isinstance(message, HeardSound | SeenPicture):
                heard[type(message)] += 1
            elif isinstance(message, pipe.NewPortrait) and isinstance(message.picture, bytes):
                send(pipe.PortraitShown(session, np.full((8, 8, 3), len(message.picture) % 256, np.uint8)))
        number += 1
        if wanted:
            wanted -= 1
            send(pipe.DrawnFrame(session, time.monotonic(), number, frame(grey, number)))
        send(pipe.Alive(all(heard.values()), 0.5, 3))
        time.sleep(1 / 30)


if __name__ == "__main__":
    main()

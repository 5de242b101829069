"""A work process without a listener: shows grey frames, numbered. Run as a script."""

import os
import sys
import threading
import time

import numpy as np

from lhg_jax.live import pipe
from lhg_jax.live.mailbox import Mailbox
from lhg_jax.live.protocol import Want


def main():
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    send = lambda message: output.write(pipe.pack(message))  # noqa: E731
    source, box = sys.stdin.buffer, Mailbox()
    setup = pipe.read(source)
    if setup.size == 999:
        return send(pipe.Failed("the portrait: no face found"))
    if setup.size == 998:
        return None
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
    number = 0
    while True:
        for message in box.take():
            if isinstance(message, pipe.Begin):
                session, wanted = message.session, 0
            elif isinstance(message, Want):
                wanted += message.frames
            elif isinstance(message, pipe.NewPortrait) and isinstance(message.picture, bytes):
                send(pipe.PortraitShown(session, np.full((8, 8, 3), len(message.picture) % 256, np.uint8)))
        number += 1
        if wanted:
            wanted -= 1
            send(pipe.DrawnFrame(session, time.monotonic(), number, b"jpeg%d" % os.getpid()))
        send(pipe.Alive(True, 0.5))
        time.sleep(1 / 30)


if __name__ == "__main__":
    main()

"""A live server for tests, whose work process is either a record of what it is told or a small script."""

import asyncio
import contextlib
import sys
from pathlib import Path

import numpy as np
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from lhg_jax.live.access import Access
from lhg_jax.live.pipe import Setup
from lhg_jax.live.server import LiveServer, Settings

SCRIPT = (sys.executable, str(Path(__file__).with_name("live_fake_work.py")))


class Recorded:
    """Stands in for `WorkProcess`: keeps what the server says."""

    def __init__(self, ready: bool = True):
        self.ready, self.told = ready, []

    def send(self, message):
        self.told.append(message)

    def of(self, kind):
        return [message for message in self.told if isinstance(message, kind)]


def settings(**changes):
    portrait = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    setup = Setup(portrait, checkpoint=None, size=384)
    return Settings(**({"setup": setup, "access": Access(None), "command": SCRIPT} | changes))


@contextlib.asynccontextmanager
async def serving(work=None, **changes):
    """(server, client of it); `work` takes the place of the work process, which is not started here."""
    server = LiveServer(settings(**changes))
    if work is not None:
        server.work = work
    async with TestServer(server.app()) as host, TestClient(host) as client:
        yield server, client


async def connect(client, **more):
    """A websocket, and the server's first message."""
    socket = await client.ws_connect("/live", **more)
    return socket, await socket.receive_json(timeout=20)


async def closing(socket):
    """(code, reason) with which the server closes a socket, whatever it says before."""
    while True:
        message = await socket.receive(timeout=20)
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            return socket.close_code, message.extra


async def told(work, kind, count=1):
    """Messages of one kind, when so many have come."""
    for _ in range(2000):
        if len(work.of(kind)) >= count:
            break
        await asyncio.sleep(0.01)
    return work.of(kind)

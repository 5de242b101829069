"""The work process is kept running: from start to end, when it is killed, when it cannot start."""

import asyncio
import os
import signal
import time

import pytest
from live_server import SCRIPT, connect, serving, settings

from lhg_jax.live import pipe, protocol, work_process
from lhg_jax.live.mailbox import HeardSound
from lhg_jax.live.work_process import WorkProcess
from lhg_jax.util.errors import UserError


def work(size, heard=lambda message: None):
    return WorkProcess(pipe.Setup(settings().setup.portrait, None, size), heard, lambda: None, SCRIPT)


def test_a_killed_work_process_is_started_again_and_the_client_goes_on():
    async def run():
        async with serving() as (server, client):
            job = asyncio.create_task(server.work.run())
            socket, _ = await connect(client)
            first = await frames_of(socket, None)
            os.kill(server.work.pid, signal.SIGKILL)
            second = await frames_of(socket, first)
            assert second != first
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            assert server.work.pid is None
            await socket.close()

    asyncio.run(run())


async def frames_of(socket, before):
    """What the frames of a work process show: its number; not that of `before`."""
    await socket.send_json({"type": "want", "frames": 4})
    while True:
        message = await socket.receive(timeout=60)
        if message.type.name == "TEXT":
            if message.json().get("type") == "state" and message.json()["ready"]:
                await socket.send_json({"type": "want", "frames": 4})
            continue
        shown = protocol.read_frame(message.data)[2].rpartition(b"\xff\xd9")[2]
        await socket.send_json({"type": "want", "frames": 1})
        if shown != before:
            return shown


def test_a_stopped_work_process_does_not_stop_the_server():
    """3 MB for it while it is stopped; afterwards it works, and what was too old has been let go."""

    async def run():
        heard = []
        process = work(384, heard.append)
        job = asyncio.create_task(process.run())
        while not process.ready:
            await asyncio.sleep(0.02)
        os.kill(process.pid, signal.SIGSTOP)
        start = time.monotonic()
        for i in range(3000):
            process.send(HeardSound(i * 0.02, bytes(1000)))
            await asyncio.sleep(0)
        assert time.monotonic() - start < 20
        assert process._mailbox.dropped_sounds > 2000
        count = len(heard)
        os.kill(process.pid, signal.SIGCONT)
        while len(heard) <= count:
            await asyncio.sleep(0.02)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    asyncio.run(run())


def test_a_work_process_that_says_nothing_is_killed(monkeypatch):
    async def run():
        monkeypatch.setattr(work_process, "SILENT_S", 0.5)
        process = work(384)
        job = asyncio.create_task(process.run())
        while not process.ready:
            await asyncio.sleep(0.02)
        before = process.pid
        os.kill(before, signal.SIGSTOP)
        while process.pid in (before, None):
            await asyncio.sleep(0.02)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_what_cannot_start_is_one_line():
    with pytest.raises(UserError, match="no face found"):
        asyncio.run(work(999).run())


def test_what_ends_again_and_again_is_given_up(monkeypatch):
    monkeypatch.setattr(work_process, "PAUSE_S", 0.0)
    with pytest.raises(UserError, match="ended 3 times"):
        asyncio.run(work(998).run())

"""Frames/s, age and memory of `python -m lhg_jax.live` while a file is played to it; stalls, kills, garbage.

python tools/bench/live.py --listener face.png --speaker talk.mp4 [--checkpoint FILE] [--seconds 600]

The client stands in for the browser: it sends sound in packets of 20 ms and 12 pictures a second at their own
pace, decodes each frame, and takes its age then: from the speaker's time that the frame answers. Two free
cores are needed: the server's processes and the client share them.
"""

import asyncio
import dataclasses
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import aiohttp
import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from lhg_jax import media
from lhg_jax.live import protocol
from lhg_jax.live.picture import decode_jpeg, encode_jpeg
from lhg_jax.live.protocol import Picture, Sound, message_bytes, read_frame

PACKET = 320  # samples
PICTURES, SIDE = 12, 480  # a second; pixels
SETTLE_S = 10.0  # left out of the figures, and before the first look at the memory
STALL_S = 3.0
FRESH_S = 0.25  # age at which a listener has recovered


@dataclasses.dataclass(frozen=True)
class Options:
    """A played file."""

    listener: Path
    speaker: Path
    checkpoint: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="")] = None
    seconds: float = 60.0
    size: int = 384


@dataclasses.dataclass
class Shown:
    """Frames as they came: when (s), age (s), number."""

    rows: list[tuple[float, float, int]] = dataclasses.field(default_factory=list)

    def between(self, start: float, end: float) -> np.ndarray:
        """Rows of a span of time."""
        return np.array([row for row in self.rows if start <= row[0] < end]).reshape(-1, 3)


class Server:
    """The command in a process of its own."""

    def __init__(self, listener: Path, size: int, *more: str):
        command = [sys.executable, "-m", "lhg_jax.live", "--port", "0", "--size", str(size)]
        command += ["--listener", str(listener), *more]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.address = re.sub(r"\s.*", "", self.line("http"))
        self.line("ready")

    def line(self, word: str) -> str:
        """The next line with a word in it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if word in line:
                return line.strip()
        raise SystemExit("the server has ended")

    @property
    def worker(self) -> int:
        """Process id of the work process."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def memory_mb(self) -> float:
        """Resident memory of both processes."""
        pids = (self.process.pid, self.worker)
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def processor_s(self) -> list[float]:
        """Processor time of the server and of the work process."""
        return [processor_s(pid) for pid in (self.process.pid, self.worker)]


def processor_s(pid: int) -> float:
    """Processor time that a process has taken, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Film:
    """A file's sound and pictures, as messages; after its end it begins again."""

    def __init__(self, path: Path):
        wave = media.read_audio(path)
        self.pcm = (wave * 32767).astype("<i2")
        step, self.jpegs, due = 1 / PICTURES, [], 0.0
        for frame in media.read_frames(path):
            if frame.time_s >= due:
                self.jpegs.append(encode_jpeg(media.at_most(frame.image, SIDE)))
                due += step

    async def play(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Sends it at its own pace until cancelled."""
        start = time.monotonic()
        for packet in itertools.count():
            end_s = (packet + 1) * PACKET / 16000
            await asyncio.sleep(max(start + end_s - time.monotonic(), 0))
            at = packet * PACKET % (len(self.pcm) - PACKET)
            began_us = round((start + end_s - PACKET / 16000) * 1e6)
            await socket.send_bytes(message_bytes(Sound(began_us, self.pcm[at : at + PACKET].tobytes())))
            if packet % (16000 // PACKET // PICTURES) == 0:
                picture = self.jpegs[int(end_s * PICTURES) % len(self.jpegs)]
                await socket.send_bytes(message_bytes(Picture(round(time.monotonic() * 1e6), picture)))


async def watch(socket: aiohttp.ClientWebSocketResponse, shown: Shown) -> None:
    """Shows frames as they come, until the socket closes."""
    await socket.send_json({"type": "want", "frames": 4})
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            time_us, number, jpeg = read_frame(message.data)
            assert decode_jpeg(jpeg) is not None
            now = time.monotonic()
            shown.rows.append((now, now - time_us * 1e-6, number))
            await socket.send_json({"type": "want", "frames": 1})
        elif message.json().get("type") == "state" and message.json()["ready"]:
            await socket.send_json({"type": "want", "frames": 4})


async def steady(server: Server, shown: Shown, seconds: float) -> dict[str, str]:
    """The figures of a run without disturbance."""
    await asyncio.sleep(SETTLE_S)
    memory, processor, start = server.memory_mb(), server.processor_s(), time.monotonic()
    await asyncio.sleep(seconds)
    end, used = time.monotonic(), np.subtract(server.processor_s(), processor)
    rows = shown.between(start, end)
    age, halves = rows[:, 1] * 1e3, np.array_split(rows[:, 1] * 1e3, 2)
    passed = rows[-1, 2] - rows[0, 2]
    return {
        "frames/s": f"{len(rows) / (end - start):.1f}",
        "age, ms: p50, p95, most": f"{np.median(age):.0f}, {np.percentile(age, 95):.0f}, {age.max():.0f}",
        "age, ms: p95 of each half": ", ".join(f"{np.percentile(half, 95):.0f}" for half in halves),
        "model frames left out": f"{100 * (1 - (len(rows) - 1) / passed):.2f} %",
        "memory, MB: start, end": f"{memory:.0f}, {server.memory_mb():.0f}",
        "processor time of server, work process": ", ".join(f"{100 * x / seconds:.0f} %" for x in used),
    }


async def stall(server: Server, shown: Shown) -> dict[str, str]:
    """The work process is stopped for a while, then killed."""
    os.kill(server.worker, signal.SIGSTOP)
    await asyncio.sleep(STALL_S)
    os.kill(server.worker, signal.SIGCONT)
    begin = time.monotonic()
    recovered = await fresh(shown, begin)
    await asyncio.sleep(2.0)
    after = shown.between(begin + recovered, time.monotonic())
    os.kill(server.worker, signal.SIGKILL)
    killed = time.monotonic()
    again = await fresh(shown, killed)
    return {
        f"fresh frames after a stop of {STALL_S:.0f} s": f"{recovered:.2f} s",
        "frames/s in the 2 s after that": f"{len(after) / 2:.1f}",
        "fresh frames after a kill": f"{again:.1f} s",
    }


async def fresh(shown: Shown, begin: float) -> float:
    """Seconds until a frame that is not old has come."""
    while time.monotonic() - begin < 120:
        rows = shown.between(begin + 0.05, time.monotonic() + 1)
        found = rows[rows[:, 1] < FRESH_S]
        if len(found):
            return float(found[0, 0] - begin)
        await asyncio.sleep(0.05)
    return float("inf")


async def garbage(address: str) -> dict[str, str]:
    """200 messages that are none, 50 connections that end abruptly; then a session as before."""
    rng, refused = np.random.default_rng(0), 0
    async with aiohttp.ClientSession() as session:
        for i in range(200):
            async with session.ws_connect(address) as socket:
                body = bytes(600_000) if i % 10 == 0 else rng.bytes(50)
                await socket.send_bytes(b"I" + body)
                while not socket.closed:
                    await socket.receive(timeout=20)
                refused += socket.close_code in (1008, 1009, 1013)
        for _ in range(50):
            socket = await session.ws_connect(address)
            await socket.send_bytes(b"S1234")
            socket._response.connection.transport.abort()
        await asyncio.sleep(1.0)
        async with session.ws_connect(address) as socket:
            hello = await socket.receive_json(timeout=20)
    return {"after 200 malformed messages and 50 abrupt ends": f"{refused} refused, then {hello['type']}"}


async def run(options: Options, server: Server) -> dict[str, str]:
    """All figures."""
    film, shown = Film(options.speaker), Shown()
    address = server.address.replace("http", "ws", 1) + "live"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=protocol.MAX_MESSAGE) as socket,
    ):
        jobs = [asyncio.create_task(job) for job in (film.play(socket), watch(socket, shown))]
        figures = await steady(server, shown, options.seconds)
        figures |= await stall(server, shown)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    await asyncio.sleep(0.5)
    return figures | await garbage(address)


def main() -> None:
    options = tyro.cli(Options, prog="python tools/bench/live.py", description=__doc__)
    cv2.setNumThreads(1)
    checkpoint = ["--checkpoint", str(options.checkpoint)] if options.checkpoint else []
    server = Server(options.listener, options.size, "--api", *checkpoint)
    try:
        figures = asyncio.run(run(options, server))
    finally:
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
    table = Table("what", "figure", title=f"{options.seconds:.0f} s at {options.size} pixels")
    for row in figures.items():
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()

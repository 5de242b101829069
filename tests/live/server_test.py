"""The live server with a client: what is passed on, who is refused and why, and that it goes on serving."""

import asyncio
import contextlib
import json
import time

import numpy as np
import pytest
from live_messages import BAD_BINARY, BAD_TEXT, jpeg
from live_server import Recorded, closing, connect, serving, told

from lhg_jax.live import pipe, protocol
from lhg_jax.live.access import Access
from lhg_jax.live.mailbox import HeardSound, SeenPicture
from lhg_jax.live.manner import Manner
from lhg_jax.live.protocol import Picture, Portrait, Sound, Want


def sound(time_us, count=320, seed=0):
    rng = np.random.default_rng(seed)
    return Sound(time_us, rng.integers(-9999, 9999, count, dtype=np.int16).astype("<i2").tobytes())


def test_what_a_client_sends_is_passed_on():
    async def run():
        work = Recorded()
        async with serving(work) as (_server, client):
            socket, hello = await connect(client)
            assert hello == {"type": "hello", "protocol": 1, "ready": True, "speaker": False}
            one, picture, portrait = sound(5_000_000), Picture(5_020_000, jpeg()), Portrait(b"a picture")
            for message in (one, picture, portrait):
                await socket.send_bytes(protocol.message_bytes(message))
            await socket.send_str(json.dumps({"type": "manner", "liveliness": 0.5, "attitude": 1}))
            await socket.send_str(json.dumps({"type": "want", "frames": 2}))
            assert await told(work, Want) == [Want(2)]
            now = time.monotonic()
            assert work.of(pipe.Begin) == [pipe.Begin(1)]
            [heard], [seen] = work.of(HeardSound), work.of(SeenPicture)
            assert heard.pcm == one.pcm and seen.jpeg == picture.jpeg
            assert now - 5 < heard.time_s <= now and seen.time_s >= heard.time_s - 1e-6
            assert work.of(pipe.NewPortrait) == [pipe.NewPortrait(b"a picture")]
            assert work.of(Manner)[-1] == Manner(0.5, 1.0)
            await socket.send_str(json.dumps({"type": "want", "frames": 8}))
            assert (await told(work, Want, 2))[1] == Want(6)  # eight at most
            await socket.close()
            assert await told(work, pipe.End)

    asyncio.run(run())


def test_what_the_work_process_says_is_sent():
    async def run():
        work = Recorded()
        async with serving(work) as (server, client):
            socket, _ = await connect(client)
            await socket.send_str(json.dumps({"type": "ping", "time_us": 7_000_000}))
            assert await socket.receive_json(timeout=20) == {"type": "pong", "time_us": 7_000_000}
            at_s = time.monotonic()
            server._hear_work(pipe.DrawnFrame(99, at_s, 3, b"another session's"))
            server._hear_work(pipe.DrawnFrame(1, at_s, 4, b"jpeg"))
            time_us, number, body = protocol.read_frame(await socket.receive_bytes(timeout=20))
            assert (number, body) == (4, b"jpeg") and 7_000_000 <= time_us < 12_000_000
            server._hear_work(pipe.Alive(True, 0.25, 7))
            status = await socket.receive_json(timeout=20)
            assert status == {"type": "status", "seen": True, "load": 0.25, "looked": 7, "late": 0}
            server._hear_work(pipe.Refused(1, "portrait", "no face found"))
            refused = await socket.receive_json(timeout=20)
            assert refused == {"type": "portrait", "refused": "no face found"}
            server._hear_work(pipe.Refused(1, "picture", "cannot be decoded"))
            assert await closing(socket) == (1008, "cannot be decoded")

    asyncio.run(run())


def test_a_second_speaker_is_told_that_it_is_busy():
    async def run():
        work = Recorded()
        async with serving(work) as (_server, client):
            first, _ = await connect(client)
            second = await client.ws_connect("/live")
            code, reason = await closing(second)
            assert code == 1013 and reason.startswith("busy")
            assert (await (await client.get("/healthz")).json()) == {"ready": True, "busy": True}
            await first.send_str(json.dumps({"type": "ping", "time_us": 1}))
            assert (await first.receive_json(timeout=20))["type"] == "pong"
            await first.close()
            await told(work, pipe.End)
            third, hello = await connect(client)
            assert hello["type"] == "hello" and work.of(pipe.Begin)[-1] == pipe.Begin(2)
            await third.close()

    asyncio.run(run())


def test_garbage_closes_that_socket_with_a_reason_and_nothing_else():
    """All malformed messages of the protocol's tests, 200 random ones, 50 abrupt ends."""

    async def run():
        work = Recorded()
        rng = np.random.default_rng(0)
        random = [b"Z" + rng.bytes(int(rng.integers(1, 300))) for _ in range(200)]
        async with serving(work) as (_server, client):
            for message in [*BAD_TEXT, *BAD_BINARY.values(), *random]:
                socket, _ = await patiently(client)
                send = socket.send_str if isinstance(message, str) else socket.send_bytes
                try:
                    await send(message)
                    code, reason = await closing(socket)
                    assert (code == 1008 and reason) or code == 1009, message[:20]
                except ConnectionError:  # closed before all of it was sent
                    assert len(message) > protocol.MAX_MESSAGE
            for _ in range(50):
                socket, _ = await patiently(client)
                await socket.send_bytes(protocol.message_bytes(sound(1)))
                socket._response.connection.transport.abort()
            socket, hello = await patiently(client)
            assert hello["ready"] and (await client.get("/healthz")).status == 200
            await socket.close()

    asyncio.run(run())


async def patiently(client):
    """Connects as soon as the one before has gone."""
    for _ in range(200):
        socket = await client.ws_connect("/live")
        message = await socket.receive(timeout=20)
        if not socket.closed and message.data != 1013:
            return socket, json.loads(message.data)
        await asyncio.sleep(0.02)
    raise AssertionError("still busy")


def test_floods_are_closed():
    async def run():
        work = Recorded()
        async with serving(work) as (_server, client):
            for message in (
                protocol.message_bytes(Picture(1, jpeg())),
                protocol.message_bytes(sound(1, 4000)),
            ):
                socket, _ = await patiently(client)
                with contextlib.suppress(ConnectionError):
                    for _ in range(1000):
                        await socket.send_bytes(message)
                code, reason = await closing(socket)
                assert code == 1008 and reason in ("too many messages", "more sound than time")
            socket, _ = await patiently(client)
            for _ in range(4):
                await socket.send_bytes(protocol.message_bytes(Portrait(b"x")))
            assert await closing(socket) == (1008, "too many portraits")

    asyncio.run(run())


def test_sound_that_was_long_on_its_way_is_not_heard():
    async def run():
        work = Recorded()
        async with serving(work) as (server, client):
            socket, _ = await connect(client)
            await socket.send_bytes(protocol.message_bytes(sound(50_000_000)))
            await socket.send_bytes(protocol.message_bytes(sound(47_000_000)))
            await socket.send_bytes(protocol.message_bytes(sound(50_020_000)))
            await told(work, HeardSound, 2)
            server._hear_work(pipe.Alive(False, 0.0, 0))
            assert (await socket.receive_json(timeout=20))["late"] == 1
            assert len(work.of(HeardSound)) == 2
            await socket.close()

    asyncio.run(run())


def test_a_new_work_process_is_told_where_things_stand():
    async def run():
        work = Recorded()
        async with serving(work) as (server, client):
            socket, _ = await connect(client)
            await socket.send_str(json.dumps({"type": "manner", "liveliness": 2, "attitude": 0}))
            await socket.send_str(json.dumps({"type": "want", "frames": 3}))
            await told(work, Want)
            chosen = np.zeros((4, 4, 3), np.uint8)
            server._hear_work(pipe.PortraitShown(1, chosen))
            assert (await socket.receive_json(timeout=20)) == {"type": "portrait"}
            work.ready = False
            server._work_changed()
            assert (await socket.receive_json(timeout=20)) == {"type": "state", "ready": False}
            work.told.clear()
            work.ready = True
            server._work_changed()
            assert (await socket.receive_json(timeout=20)) == {"type": "state", "ready": True}
            assert work.told == [
                pipe.Begin(1), pipe.NewPortrait(chosen), Manner(2.0, 0.0), Want(3)
            ]  # fmt: skip
            await socket.close()

    asyncio.run(run())


def test_a_portrait_that_a_client_has_chosen_is_its_own():
    async def run():
        async with serving(Recorded()) as (server, client):
            before = await (await client.get("/portrait.jpg")).read()
            socket, _ = await connect(client)
            server._hear_work(pipe.PortraitShown(1, np.zeros((4, 4, 3), np.uint8)))
            assert await (await client.get("/portrait.jpg")).read() == before
            server._hear_work(pipe.PortraitShown(-1, np.zeros((4, 4, 3), np.uint8)))
            assert await (await client.get("/portrait.jpg")).read() != before
            await socket.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:9"}, 200),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "127.0.0.1.attacker.example"}, 403),
        ({"Host": "127.0.0.1:7", "Origin": "http://127.0.0.1:7"}, 200),
        ({"Host": "127.0.0.1:7", "Origin": "http://127.0.0.1:8"}, 403),
        ({"Host": "127.0.0.1:7", "Origin": "https://attacker.example"}, 403),
        ({"Host": "127.0.0.1:7", "Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/portrait.jpg", "/healthz"])
def test_other_sites_are_refused(headers, status, path):
    async def run():
        async with serving(Recorded()) as (_server, client):
            answer = await client.get(path, headers=headers)
            assert answer.status == status
            assert status == 403 or "frame-ancestors" in answer.headers["Content-Security-Policy"]

    asyncio.run(run())


def test_the_websocket_is_refused_to_other_sites():
    async def run():
        work = Recorded()
        async with serving(work) as (_server, client):
            answer = await client.get("/live", headers={"Origin": "https://attacker.example"})
            assert answer.status == 403 and not work.told

    asyncio.run(run())


def test_another_host_needs_the_token():
    async def run():
        token = "a-token-of-this-test"
        async with serving(Recorded(), access=Access(token)) as (_server, client):
            for path in ("/", "/portrait.jpg", "/live", "/healthz", "/?token=wrong", "/?token=ä"):
                answer = await client.get(path)
                assert answer.status == 403 and token not in await answer.text(), path
            assert (await client.get("/static/style.css")).status == 200
            named = {"Host": "listener.example"}
            assert (await client.get(f"/?token={token}", headers=named)).status == 200
            socket = await client.ws_connect(f"/live?token={token}")
            assert (await socket.receive_json(timeout=20))["type"] == "hello"
            await socket.close()

    asyncio.run(run())


def test_api_alone_has_no_page():
    async def run():
        async with serving(Recorded(), api=True) as (_server, client):
            assert "docs/live.md" in await (await client.get("/")).text()
            assert (await client.get("/static/main.js")).status == 404
            socket, hello = await connect(client)
            assert hello["protocol"] == protocol.VERSION
            await socket.close()

    asyncio.run(run())


def test_files_beside_the_page_cannot_be_had():
    async def run():
        async with serving(Recorded()) as (_server, client):
            for path in (
                "/static/../demo.safetensors",
                "/static/%2e%2e/demo.safetensors",
                "/static/",
                "/speaker",
            ):
                assert (await client.get(path)).status in (403, 404), path

    asyncio.run(run())

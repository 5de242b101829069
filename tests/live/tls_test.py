"""`python -m lhg_jax.live --tls`: the command's server over https, as a client and as a stranger see it."""

import asyncio
import ssl

import aiohttp
import pytest
from live_certificate import make_certificate
from live_server import SCRIPT, settings

from lhg_jax.live import __main__ as command
from lhg_jax.live import protocol
from lhg_jax.live.__main__ import Options, serve
from lhg_jax.live.access import access_for, tls_context


async def while_serving(monkeypatch, files, host, client):
    """What `client(address)` returns while the command serves."""
    loop = asyncio.get_running_loop()
    said, ready = loop.create_future(), asyncio.Event()

    def say(line):
        if line == "ready":
            ready.set()
        else:
            said.set_result(line.removesuffix(" (starting)"))

    monkeypatch.setattr(command, "say", say)
    options = Options(listener=files[0], host=host, port=0, tls=files)
    served = settings(command=SCRIPT, access=access_for(host))
    serving = asyncio.create_task(serve(options, served, tls_context(files)))
    try:
        address = await asyncio.wait_for(said, 20)
        await asyncio.wait_for(ready.wait(), 60)
        return await client(address)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def test_page_and_websocket_over_tls(tmp_path, monkeypatch):
    files = make_certificate(tmp_path, "localhost")
    trusting = ssl.create_default_context(cafile=files[0])

    async def client(address):
        assert address.startswith("https://localhost:")
        async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(ssl=trusting)) as session:
            for path in ("/", "/static/main.js", "/portrait.jpg"):
                async with session.get(path) as answer:
                    assert answer.status == 200 and await answer.read()
            async with session.ws_connect("/live", headers={"Origin": address.rstrip("/")}) as socket:
                assert (await socket.receive_json(timeout=20))["type"] == "hello"
                await socket.send_json({"type": "want", "frames": 1})
                while (message := await socket.receive(timeout=20)).type != aiohttp.WSMsgType.BINARY:
                    pass
                return protocol.read_frame(message.data)

    _, _, picture = asyncio.run(while_serving(monkeypatch, files, "localhost", client))
    assert picture.startswith(b"\xff\xd8")


def test_another_host_has_its_token_and_strangers_get_nothing(tmp_path, monkeypatch):
    files = make_certificate(tmp_path, "listener.example")
    trusting = ssl.create_default_context(cafile=files[0])

    async def client(address):
        assert address.startswith("https://0.0.0.0:") and "?token=" in address
        place, token = address.replace("0.0.0.0", "127.0.0.1").split("?")
        async with aiohttp.ClientSession() as session:
            named = {"ssl": trusting, "server_hostname": "listener.example"}
            answers = []
            for query in (f"?{token}", ""):
                async with session.get(place + query, **named) as answer:
                    answers.append(answer.status)
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{place}?{token}")
            with pytest.raises(aiohttp.ClientError):
                await session.get(place.replace("https", "http"))
            return answers

    assert asyncio.run(while_serving(monkeypatch, files, "0.0.0.0", client)) == [200, 403]

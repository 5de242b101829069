"""The client in docs/live.md gets frames from a server."""

import asyncio
import re
from pathlib import Path

import numpy as np
from live_server import serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "live.md"


def test_the_client_of_the_page_gets_frames():
    [code] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict = {}
    exec(compile(code, "docs/live.md", "exec"), names)

    async def run():
        async with serving() as (server, client):
            job = asyncio.create_task(server.work.run())
            while not server.work.ready:
                await asyncio.sleep(0.02)
            sound = np.random.default_rng(0).integers(-999, 999, 48000).astype(np.int16)
            shown = await names["listen"](client.make_url("/live"), sound, 12)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            return shown

    shown = asyncio.run(run())
    assert len(shown) == 12 and all(jpeg.startswith(b"\xff\xd8") for jpeg in shown)
    assert len(set(shown)) > 6

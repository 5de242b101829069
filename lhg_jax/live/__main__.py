"""`python -m lhg_jax.live --listener face.png`: somebody who listens, in the browser, while you talk.

The page that it prints the address of shows the portrait, which answers the camera and the microphone. With
--speaker a video is played instead; with --api there is no page, only the websocket (docs/live.md).
"""

import asyncio
import contextlib
import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from lhg_jax.util.cli import Maybe, parse
from lhg_jax.util.errors import MissingExtraError, UserError, run_cli
from lhg_jax.util.progress import say

if TYPE_CHECKING:
    import ssl

    from lhg_jax.live.server import LiveServer, Settings

SIZES = (128, 1024)  # of --size


@dataclasses.dataclass(frozen=True)
class Options:
    """Serves a page with a portrait that listens."""

    listener: Path
    """The listener's portrait: an image with one face. The page can replace it for its own session."""
    speaker: Maybe[Path] = None
    """A video that is played instead of the camera: needs no camera and no microphone."""
    checkpoint: Maybe[Path] = None
    """Weights of a causal listener (.safetensors), as configs/demo_live.py trains one; the package's by
    default."""
    size: int = 384
    """Longest side of the frames, pixels."""
    host: str = "127.0.0.1"
    """Address to listen at. Any but this computer's own needs the token that is then part of the address;
    browsers give a camera only to pages of localhost or over https (--tls)."""
    port: int = 8000
    """Port to listen at; 0 takes a free one."""
    tls: Maybe[tuple[Path, Path]] = None
    """Certificate and key (PEM), for https."""
    api: bool = False
    """Serve the websocket alone, without the page."""


def check(options: Options) -> None:
    """Raises `UserError` for options that cannot be used."""
    least, most = SIZES
    if not least <= options.size <= most:
        raise UserError(f"--size: {options.size} is not between {least} and {most}")
    if not 0 <= options.port < 65536:
        raise UserError(f"--port: {options.port} is not between 0 and 65535")
    if options.checkpoint and not options.checkpoint.is_file():
        raise UserError(f"{options.checkpoint}: no such file")


def settings(options: Options) -> "Settings":
    """Reads what is served. Raises `UserError`."""
    try:
        from lhg_jax.live.access import access_for
        from lhg_jax.live.pipe import Setup
        from lhg_jax.live.server import Settings
    except ImportError:
        raise MissingExtraError("live", "live") from None
    from lhg_jax.live.portrait import read_portrait
    from lhg_jax.media import probe, read_image

    portrait = read_portrait(read_image(options.listener))
    if options.speaker:
        probe(options.speaker)
    return Settings(
        setup=Setup(portrait, options.checkpoint, options.size),
        access=access_for(options.host),
        speaker=options.speaker,
        api=options.api,
    )


async def serve(options: Options, served: "Settings", tls: "ssl.SSLContext | None") -> None:
    """Serves until Ctrl-C or SIGTERM. Raises `UserError` where it cannot start."""
    from aiohttp import web

    from lhg_jax.live.server import LiveServer

    server = LiveServer(served)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise UserError(f"--host {options.host} --port {options.port}: {error.strerror}") from None
        say(f"{address(site.name, options.host, served.access.token)} (starting)")
        await until_stopped(server)
    finally:
        await runner.cleanup()


async def until_stopped(server: "LiveServer") -> None:
    """Runs the work process until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no handlers in the loop
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    jobs = [asyncio.create_task(job) for job in (server.work.run(), stop.wait(), report(server))]
    try:
        done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        for job in done:
            job.result()  # what it has raised
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


async def report(server: "LiveServer") -> None:
    """Says when the listener is ready, and when it is not any more."""
    while True:
        await server.changed.wait()
        server.changed.clear()
        say("ready" if server.work.ready else "the work process has ended: starting it again")


def address(site: str, host: str, token: str | None) -> str:
    """What to open in a browser; `site` has the port that was taken."""
    scheme, _, place = site.partition("://")
    port = place.rpartition(":")[2]
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}/" + (f"?token={token}" if token else "")


def main() -> None:
    """Parses the command line and serves."""
    options = parse(Options, "python -m lhg_jax.live", __doc__)
    check(options)
    served = settings(options)
    from lhg_jax.live.access import tls_context

    asyncio.run(serve(options, served, tls_context(options.tls)))


if __name__ == "__main__":
    run_cli(main)

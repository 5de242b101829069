"""The server of a live session: the page, its websocket, and the work process behind them."""

import asyncio
import dataclasses
import itertools
from pathlib import Path
from typing import Any

from aiohttp import web

from lhg_jax.live import pipe, protocol
from lhg_jax.live.access import Access
from lhg_jax.live.picture import encode_jpeg
from lhg_jax.live.session import GONE, REFUSED, Session
from lhg_jax.live.work_process import COMMAND, WorkProcess

ASSETS = Path(__file__).parent.parent / "assets" / "live"
BUSY = 1013  # of the websocket registry: try again later
HEARTBEAT_S = 10.0  # a connection that does not answer for so long is dead


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is served.

    Attributes:
      setup: what the work process is told first.
      speaker: a video that the page plays instead of the camera; None: the camera.
      api: the websocket alone, without the page.
      access: who may connect.
      command: of the work process.
    """

    setup: pipe.Setup
    access: Access
    speaker: Path | None = None
    api: bool = False
    command: tuple[str, ...] = COMMAND


class LiveServer:
    """Serves one speaker at a time.

    Attributes:
      work: the work process.
      changed: is set when `work.ready` has changed.
    """

    def __init__(self, settings: Settings):
        """Starts nothing yet."""
        self.settings = settings
        self.work = WorkProcess(settings.setup, self._hear_work, self._work_changed, settings.command)
        self.changed = asyncio.Event()
        self._portrait = settings.setup.portrait
        self._session: Session | None = None
        self._numbers = itertools.count(1)

    def app(self) -> web.Application:
        """What aiohttp serves."""
        app = web.Application(middlewares=[self.settings.access.middleware], client_max_size=1024)
        app.router.add_get("/live", self._serve_socket)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/portrait.jpg", self._serve_portrait)
        app.router.add_get("/", self._serve_page)
        if not self.settings.api:
            app.router.add_static("/static/", ASSETS)
        if self.settings.speaker:
            app.router.add_get("/speaker", self._serve_speaker)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, app: web.Application) -> None:
        if self._session:
            await self._session.close(GONE, "the server is stopped")

    async def _serve_page(self, request: web.Request) -> web.StreamResponse:
        if self.settings.api:
            return web.Response(text="The websocket is at /live; its protocol is in docs/live.md.\n")
        return web.FileResponse(ASSETS / "page.html")

    async def _serve_portrait(self, request: web.Request) -> web.Response:
        """The server's portrait; one that a client has sent is shown to that client only."""
        return web.Response(body=encode_jpeg(self._portrait), content_type="image/jpeg")

    async def _serve_speaker(self, request: web.Request) -> web.StreamResponse:
        assert self.settings.speaker is not None
        return web.FileResponse(self.settings.speaker)

    async def _serve_health(self, request: web.Request) -> web.Response:
        return web.json_response({"ready": self.work.ready, "busy": self._session is not None})

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        """A session from its beginning to its end; a second speaker is told that the first is still here."""
        socket = web.WebSocketResponse(max_msg_size=protocol.MAX_MESSAGE, heartbeat=HEARTBEAT_S)
        await socket.prepare(request)
        if self._session is not None:
            await socket.close(code=BUSY, message=b"busy: somebody else is speaking")
            return socket
        session = self._session = Session(next(self._numbers), socket, self.work.send)
        try:
            session.tell(self._hello())
            if self.work.ready:
                session.resume()
            await session.run()
        finally:
            self._session = None
            self.work.send(pipe.End())
        return socket

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "protocol": protocol.VERSION,
            "ready": self.work.ready,
            "speaker": self.settings.speaker is not None,
        }

    def _work_changed(self) -> None:
        self.changed.set()
        if self._session:
            self._session.tell({"type": "state", "ready": self.work.ready})
            if self.work.ready:
                self._session.resume()

    def _hear_work(self, message: Any) -> None:
        """What the work process says."""
        session = self._session
        if isinstance(message, pipe.PortraitShown) and message.session < 0:
            self._portrait = message.image
        elif session is None:
            return
        elif isinstance(message, pipe.Alive):
            session.tell_alive(message)
        elif message.session == session.number:
            self._pass_on(session, message)

    def _pass_on(self, session: Session, message: Any) -> None:
        """What is meant for one session."""
        if isinstance(message, pipe.DrawnFrame):
            session.show(message)
        elif isinstance(message, pipe.PortraitShown):
            session.portrait = message.image
            session.tell({"type": "portrait"})
        elif message.what == "portrait":
            session.tell({"type": "portrait", "refused": message.reason})
        else:
            session.close_soon(REFUSED, message.reason)

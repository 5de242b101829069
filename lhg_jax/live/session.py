"""One client of a live session: what it sends, checked and passed on; what it is sent."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from lhg_jax.live import pipe, protocol
from lhg_jax.live.mailbox import MAX_SOUND_S, HeardSound, SeenPicture
from lhg_jax.live.manner import Manner
from lhg_jax.live.protocol import Picture, Ping, Portrait, ProtocolError, Sound, Want
from lhg_jax.live.timing import Allowance, ClientClock

IDLE_S = 30.0  # a client that says nothing for so long has gone: the page sends a ping each second
MOST_WAITING = 64  # messages to a client that does not read them
REFUSED, GONE = 1008, 1001  # codes of RFC 6455: a rule is broken; going away


class Session:
    """One client.

    Attributes:
      number: tells it from those before.
      portrait: that it has chosen; None: the server's.
      manner: that it has chosen.
    """

    def __init__(self, number: int, socket: web.WebSocketResponse, send: Callable[[Any], None]):
        """`send` leaves a message for the work process."""
        self.number = number
        self.portrait: pipe.Image | None = None
        self.manner = Manner()
        self._socket, self._send = socket, send
        self._clock = ClientClock()
        self._waiting: asyncio.Queue[bytes | str] = asyncio.Queue(MOST_WAITING)
        self._wanted = self._late = 0
        self._messages = Allowance(rate=200.0, most=400.0)
        self._bytes = Allowance(rate=3e6, most=2.0 * protocol.MAX_MESSAGE)
        self._sound_s = Allowance(rate=1.5, most=5.0)
        self._portraits = Allowance(rate=0.5, most=3.0)

    async def run(self) -> None:
        """Serves the client until it goes, or breaks a rule."""
        speaker = asyncio.create_task(self._speak())
        try:
            await self._listen()
        except ProtocolError as error:
            await self.close(REFUSED, str(error))
        finally:
            speaker.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Closes the socket; the reason is cut to the 123 bytes that the protocol has for it."""
        await self._socket.close(code=code, message=reason.encode()[:123])

    def close_soon(self, code: int, reason: str) -> None:
        """The same, where nobody can wait."""
        self._closing = asyncio.create_task(self.close(code, reason))

    async def _listen(self) -> None:
        while True:
            try:
                message = await self._socket.receive(timeout=IDLE_S)
            except TimeoutError:
                raise ProtocolError(f"nothing was heard for {IDLE_S:.0f} s") from None
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            self._take(message, time.monotonic())

    def _take(self, message: WSMessage, now_s: float) -> None:
        """One message. Raises `ProtocolError` where it breaks a rule."""
        if not self._messages.take(1.0, now_s) or not self._bytes.take(float(len(message.data)), now_s):
            raise ProtocolError("too many messages")
        parsed = protocol.parse(message.data)
        if isinstance(parsed, Sound):
            self._hear(parsed, now_s)
        elif isinstance(parsed, Picture):
            self._send(SeenPicture(self._clock.ours(parsed.time_us, now_s), parsed.jpeg))
        elif isinstance(parsed, Portrait):
            if not self._portraits.take(1.0, now_s):
                raise ProtocolError("too many portraits")
            self._send(pipe.NewPortrait(parsed.data))
        elif isinstance(parsed, Want):
            self._want(parsed.frames)
        elif isinstance(parsed, Ping):
            self._clock.ours(parsed.time_us, now_s)
            self.tell({"type": "pong", "time_us": parsed.time_us})
        else:
            self.manner = parsed
            self._send(parsed)

    def _hear(self, sound: Sound, now_s: float) -> None:
        """Passes sound on; what has been on its way for too long is not heard any more."""
        if not self._sound_s.take(len(sound.pcm) / 32000, now_s):
            raise ProtocolError("more sound than time")
        time_s = self._clock.ours(sound.time_us, now_s)
        if now_s - time_s > MAX_SOUND_S:
            self._late += 1
        else:
            self._send(HeardSound(time_s, sound.pcm))

    def _want(self, frames: int) -> None:
        frames = min(frames, protocol.MAX_WANTED - self._wanted)
        if frames > 0:
            self._wanted += frames
            self._send(Want(frames))

    def resume(self) -> None:
        """Tells a new work process where things stand."""
        self._send(pipe.Begin(self.number))
        if self.portrait is not None:
            self._send(pipe.NewPortrait(self.portrait))
        self._send(self.manner)
        if self._wanted:
            self._send(Want(self._wanted))

    def show(self, frame: pipe.DrawnFrame) -> None:
        """Sends a frame that was wanted."""
        self._wanted = max(self._wanted - 1, 0)
        self._put(protocol.frame_bytes(self._clock.theirs(frame.time_s), frame.number, frame.jpeg))

    def tell(self, fields: dict[str, Any]) -> None:
        """Sends a text message."""
        self._put(json.dumps(fields))

    def tell_alive(self, alive: pipe.Alive) -> None:
        """Sends what the panel shows."""
        fields = {"seen": alive.seen, "load": round(alive.load, 3), "looked": alive.looked}
        self.tell({"type": "status", **fields, "late": self._late})

    def _put(self, message: bytes | str) -> None:
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.close_soon(REFUSED, "what is sent is not read")

    async def _speak(self) -> None:
        while True:
            message = await self._waiting.get()
            try:
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_str(message)
            except ConnectionError:  # the client has gone; `_listen` sees it, too
                return

"""Who may speak to the server of a live session."""

import dataclasses
import hmac
import ipaddress
import secrets
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from lhg_jax.util.errors import UserError

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Cache-Control": "no-store",
}
OPEN = "/static/"  # the page's own files say nothing of anybody

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True)
class Access:
    """Checks each request before anything else sees it.

    Attributes:
      token: has to be in the address; None where only this computer can connect.
    """

    token: str | None

    def refusal(self, request: web.Request) -> str | None:
        """Why a request is refused; None where it is not."""
        if self.token is None and not is_this_computer(_name(request.host)):
            return "this server answers to localhost only"  # a name of someone else's that leads here
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return "pages of other sites may not use this server"
        given = request.query.get("token", "")
        is_open = self.token is None or request.path.startswith(OPEN)
        if not is_open and not hmac.compare_digest(given.encode(), (self.token or "").encode()):
            return "the address lacks the token that the command has printed"
        return None

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers 403 with the reason, or lets the request through and adds `HEADERS`."""
        reason = self.refusal(request)
        answer = web.Response(status=403, text=reason) if reason else await handler(request)
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer


def access_for(host: str) -> Access:
    """Only this computer needs no token."""
    return Access(None if is_this_computer(host) else secrets.token_urlsafe(24))


def is_this_computer(host: str) -> bool:
    """Whether a host's name or address is this computer's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The host of a `Host` header, without its port."""
    return urlsplit(f"//{host}").hostname or ""


def tls_context(files: tuple[Path, Path] | None) -> ssl.SSLContext | None:
    """For https with a certificate and its key; None without. Raises `UserError` where they do not fit."""
    if files is None:
        return None
    for path in files:
        if not path.is_file():
            raise UserError(f"{path}: no such file (--tls CERT KEY)")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(*files)
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"{files[0]}: no certificate in PEM that fits the key ({error})") from None
    return context

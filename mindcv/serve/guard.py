"""What every request passes: who may ask, how an early answer reaches its caller, and that no error leaks."""

import asyncio
import hmac
import ipaddress
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["OPEN_PATHS", "Guard", "json_body"]

_logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# What is answered without the token: the page, which asks for it, and whether the service is up.
OPEN_PATHS = frozenset({"/", "/page.css", "/page.js", "/icon.svg", "/health"})

# What is left of a refused body is read before the answer goes out, so that the caller sees it: a connection that is
# closed on unread bytes is reset. Nobody gets more than this.
_MOST_DRAINED = 256 << 20
_DRAIN_LIMIT_S = 20.0

_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
     b"connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class Guard:
    """Middleware around the application.

    A name in the Host header has to be known, so that a foreign page cannot reach the service by a name that it points
    at this machine (DNS rebinding); numbers always are. A browser's request has to come from the service's own page.

    Args:
        app: The application.
        hosts: Names by which the service is reached, besides this machine's own.
        token: What callers must show; None: nothing.
        watch: Called with path, status and seconds of each request.
    """

    def __init__(
        self,
        app: Asgi,
        hosts: Iterable[str] = (),
        token: str | None = None,
        watch: Callable[[str, int, float], None] = lambda path, status, seconds: None,
    ) -> None:
        self.app = app
        self._hosts = {name.lower() for name in ("localhost", socket.gethostname(), *hosts)}
        self._token = None if token is None else token.encode()
        self._watch = watch

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.monotonic()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = _Body(receive, headers)
        status = 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                await body.drain()
                status = message["status"]
                names = {name.lower() for name, _ in message.get("headers", ())}
                added = [(name, value) for name, value in _HEADERS if name not in names]
                if not body.is_read:
                    added.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            refused = self._refusal(scope["path"], headers)
            if refused is not None:
                await _send_error(send_guarded, *refused)
            else:
                await self.app(scope, body.receive, send_guarded)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await _send_error(send_guarded, 500, "the service failed; its log says why")
        finally:
            self._watch(scope["path"], status, time.monotonic() - begin)

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and message for who may not ask; None for who may."""
        host = headers.get("host", "")
        if not self._is_known(host):
            return 421, "this service is not reached by that host name; start it with --allow_host NAME"
        origin = headers.get("origin")
        if origin is not None and _without_default_port(urlsplit(origin).netloc) != _without_default_port(host):
            return 403, "requests of other sites' pages are refused"
        if self._token is not None and path not in OPEN_PATHS:
            kind, _, shown = headers.get("authorization", "").partition(" ")
            is_right = hmac.compare_digest(shown.strip().encode("utf-8", "replace"), self._token)
            if kind.lower() != "bearer" or not is_right:
                return 401, "a token is needed: Authorization: Bearer TOKEN"
        return None

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts
        return True


class _Body:
    """A request's body as it comes in."""

    def __init__(self, receive: Receive, headers: dict[str, str]) -> None:
        self._receive = receive
        self.is_read = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        # Who asks before sending (curl does with more than a megabyte) has sent nothing yet.
        self._asks_first = "expect" in headers
        self._is_asked_for = False

    async def receive(self) -> Message:
        """Returns the next part."""
        self._is_asked_for = True
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self.is_read = True
        return message

    async def drain(self) -> None:
        """Throws away what is left, unless it is too much or takes too long."""
        if self._asks_first and not self._is_asked_for:
            return
        end, size = time.monotonic() + _DRAIN_LIMIT_S, 0
        while not self.is_read and size < _MOST_DRAINED:
            try:
                message = await asyncio.wait_for(self.receive(), max(0.0, end - time.monotonic()))
            except asyncio.TimeoutError:
                return
            size += len(message.get("body", b""))


def json_body(value: Any) -> bytes:
    """Returns a value as JSON in UTF-8; what is not UTF-8 in a name is escaped."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


async def _send_error(send: Send, status: int, message: str) -> None:
    body = json_body({"error": message})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _without_default_port(host: str) -> str:
    """A host with its port, in the form that it has behind a proxy and without one."""
    return host.lower().removesuffix(":80").removesuffix(":443")

"""The process around the application: its port, its signals, its end."""

import contextlib
import errno
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["address_of", "is_loopback", "make_server", "open_port"]

_BACKLOG = 1024
_KEEP_ALIVE_S = 30
_SAME_SIGNAL_S = 1.0


def open_port(host: str, port: int) -> socket.socket:
    """Takes a port without listening yet, so that one that is taken is told before a network is loaded.

    Args:
        host: A name or address of this machine.
        port: 0 takes any that is free.

    Raises:
        ValueError: There is no such host here, or the port is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; give 0 to 65535")
    try:
        family, socket_type, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ValueError(f"--host: there is no {host!r} ({error.strerror}); give 127.0.0.1 or 0.0.0.0") from error
    listener = socket.socket(family, socket_type, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # two may bind one port; one may listen
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(f"port {port} of {host} is taken; give --port another one, or 0 for any") from error
        raise ValueError(f"port {port} of {host} cannot be opened: {error.strerror}; give another one") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Returns the address of the page."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach a port."""
    host = listener.getsockname()[0]
    return host == "::1" or host.startswith("127.")


def make_server(app: "FastAPI", on_start: Callable[[], None] = lambda: None) -> "uvicorn.Server":
    """Returns a server, whose `run(sockets=[open_port(...)])` answers requests until Ctrl-C or SIGTERM.

    Then it finishes what it has begun. A second signal, a second later or more, ends it at once and sets `force_exit`.

    Args:
        app: The application.
        on_start: Called when the first request can be taken.
    """
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Takes the signals for as long as it runs. (uvicorn would raise them again when all is done.)"""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            signums = (signal.SIGINT, signal.SIGTERM)
            before = {signum: signal.signal(signum, self.handle_exit) for signum in signums}
            try:
                yield
            finally:
                for signum, handler in before.items():
                    signal.signal(signum, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # While a graph runs, MindSpore turns Ctrl-C into SIGTERM, so any signal may be the second one; but not one
            # that a shell or a container's init sends twice.
            now = time.monotonic()
            if not self.should_exit:
                self.should_exit, self.stopped_at = True, now
            elif now - self.stopped_at > _SAME_SIGNAL_S:
                self.force_exit = True
                logging.getLogger("uvicorn.error").disabled = True  # it would log what is cut off as errors

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_start()

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    return Server(config)

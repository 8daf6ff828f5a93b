"""The HTTP server under the doors: one, in the running event loop.

Why it is our own is in ``docs/decisions/0003-http-server-on-httptools.md``.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from starlette.types import ASGIApp

from callgate.doors.server.connection import Connection
from callgate.doors.server.traffic import Bounds, Traffic
from callgate.errors import Misconfigured

__all__ = ["Bounds", "Server"]

BACKLOG: Final = 1024

PROBES: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""A client whose machine or network is gone says nothing: it is asked after 30 s of silence, and
taken for gone when it has not answered for another 30."""


class Server:
    """Serves one ASGI application over HTTP/1.1; installs no signal handlers.

    Args:
        app: What answers.
        host: The address to listen at.
        port: The port; 0 takes a free one.
        drain_seconds: How long calls in flight may go on after :meth:`stop`.
        bounds: What a client may take.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        drain_seconds: float = 30.0,
        bounds: Bounds | None = None,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._drain_seconds = drain_seconds
        self._bounds = bounds or Bounds()
        self._listener: asyncio.Server | None = None
        self._traffic: Traffic | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen; when it returns, connections are accepted.

        Raises:
            Misconfigured: The address is taken, or not this machine's.
        """
        listening = _listen(self._host, self._port)
        self._port = int(listening.getsockname()[1])
        self._traffic = traffic = Traffic(self._app, self._bounds)
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(traffic), sock=listening, backlog=BACKLOG
        )

    def break_off(self) -> None:
        """End the calls that are still open; a :meth:`stop` that waits for them goes on."""
        if self._traffic is not None:
            self._traffic.break_off()

    async def stop(self) -> None:
        """Refuse new connections, let calls in flight finish, then cancel what is left of them.

        When it returns, no call runs and no connection is open.
        """
        if self._listener is None or self._traffic is None:
            return
        self._listener.close()
        self._listener = None
        try:
            async with asyncio.timeout(self._drain_seconds):
                await self._traffic.drain()
        except TimeoutError:
            pass
        finally:
            await self._traffic.cut()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What a listening socket is set to, its connections inherit.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in PROBES:
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    listening.setblocking(False)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        msg = f"cannot listen at {host}:{port}: {error.strerror}; choose another [gate] port, or --port 0"
        raise Misconfigured(msg) from error
    return listening

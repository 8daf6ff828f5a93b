"""The HTTP server under the doors: one, in the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from callgate.errors import Misconfigured

BACKLOG: Final = 1024
IDLE_SECONDS: Final = 75
"""How long a connection of a client may idle; more than the usual client keeps one."""


class Server:
    """Serves one ASGI application; installs no signal handlers and writes no log.

    Args:
        app: What answers.
        host: The address to listen at.
        port: The port; 0 takes a free one.
        drain_seconds: How long calls in flight may go on after :meth:`stop`.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, drain_seconds: float = 30.0) -> None:
        self._host = host
        self._port = port
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
            backlog=BACKLOG,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._serving: asyncio.Task[None] | None = None

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
        # The library's own serve() would take the process's signals; the command has them.
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[listening])
        self._serving = asyncio.get_running_loop().create_task(self._server.main_loop())

    async def stop(self) -> None:
        """Refuse new connections, let calls in flight finish, then close."""
        if self._serving is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving
        self._serving = None
        await self._server.shutdown()

    def break_off(self) -> None:
        """End the calls that are still open; a :meth:`stop` that waits for them goes on."""
        for call in tuple(self._server.server_state.tasks):
            call.cancel()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setblocking(False)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        msg = f"cannot listen at {host}:{port}: {error.strerror}; choose another [gate] port, or --port 0"
        raise Misconfigured(msg) from error
    return listening

"""What goes on at a server: its connections and the calls on them, and how they come to an end."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextvars import copy_context
from typing import Final, Protocol

import msgspec
from starlette.types import ASGIApp

from callgate.doors.server.request import Request

log = logging.getLogger("callgate")

SETTLE_SECONDS: Final = 10.0
"""How long a call that was cancelled may take to book what it owes."""

STOPPING: Final = "callgate.stopping"
"""Under which name an application finds out that the server is about to stop, as an extension of ASGI."""

WITHOUT_LIMIT: Final = 32_768
"""Connections of a process that may open any number of files."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What clients may take before anybody knows who they are."""

    connections: int | None = None
    """At once; if None, half of the files that this process may open, since every call also
    needs a connection to its provider, and the store needs its own."""
    head_bytes: int = 65_536
    """Of a head, or of anything else around a body, after its first packet."""
    head_count: int = 256
    """The most headers of a request."""
    head_seconds: float = 30.0
    """From the first byte of a request, or of a connection, to the end of the headers."""
    body_seconds: float = 60.0
    """The longest silence within a body; for one that nobody reads, all that is left of it."""
    idle_seconds: float = 75.0
    """Between two requests; more than the usual client keeps a connection."""
    stall_seconds: float = 300.0
    """How long a client may read nothing of what it is sent."""
    linger_seconds: float = 2.0
    """From our end of a connection to the client's."""


class Party(Protocol):
    """A connection, as the traffic sees it."""

    def drain(self) -> None:
        """Take no other request; close at once if none is being answered."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def fail(self, request: Request, status: int) -> None:
        """Answer with a fault, or cut an answer that has begun."""
        ...


class Traffic:
    """Connections and calls of one server.

    Args:
        app: What answers.
        bounds: What clients may take.

    Attributes:
        stopping: Set when no call begins any more; what lasts as long as its client wants ends then.
    """

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self.bounds = bounds
        self.loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._parties: set[Party] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self._most = bounds.connections or half_of_the_files()
        self.stopping = asyncio.Event()
        self.extensions = {STOPPING: self.stopping}

    @property
    def is_draining(self) -> bool:
        """Whether no call begins any more."""
        return self.stopping.is_set()

    def enter(self, party: Party) -> None:
        """Take note of a connection."""
        self._parties.add(party)
        if self.is_draining or len(self._parties) > self._most:
            party.abort()

    def leave(self, party: Party) -> None:
        """Take note of a connection's end."""
        self._parties.discard(party)
        if not self._parties:
            self._emptied.set()

    def begin(self, party: Party, request: Request) -> None:
        """Let the application answer a request; nothing of an earlier one is in its context."""
        call = self.loop.create_task(self._answer(party, request), context=self._context.copy())
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, party: Party, request: Request) -> None:
        try:
            await self._app(request.scope, request.receive, request.send)
        except asyncio.CancelledError:
            party.fail(request, 503)
            raise
        except Exception:
            log.exception("a request to %s failed", request.scope["path"])
            party.fail(request, 500)
        else:
            if not (request.is_answered or request.is_gone):
                log.error("a request to %s was not answered", request.scope["path"])
                party.fail(request, 500)

    async def drain(self) -> None:
        """Let every call come to its end, and every client have its answer."""
        self.stopping.set()
        for party in tuple(self._parties):
            party.drain()
        while self._calls:
            await asyncio.wait(self._calls)
        await self._empty()

    def break_off(self) -> None:
        """Cancel every call, once: what it does then is to book what it owes."""
        for call in self._calls:
            if not call.cancelling():
                call.cancel()

    async def cut(self) -> None:
        """Cancel the calls that are left, let them settle, and close what is open."""
        self.break_off()
        if self._calls:
            await asyncio.wait(self._calls, timeout=SETTLE_SECONDS)
        if self._calls:
            log.error("%d calls did not end when they were cancelled", len(self._calls))
        for party in tuple(self._parties):
            party.abort()
        await self._empty()

    async def _empty(self) -> None:
        while self._parties:
            self._emptied.clear()
            await self._emptied.wait()


if sys.platform == "win32":

    def half_of_the_files() -> int:
        """Return how many connections leave enough for everything else."""
        return WITHOUT_LIMIT

else:
    import resource

    def half_of_the_files() -> int:
        """Return how many connections leave enough for everything else."""
        most_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return most_files // 2 if most_files > 0 else WITHOUT_LIMIT

"""The way back to a client: one JSON object, or a stream once there is something to tell before the end."""

from __future__ import annotations

import asyncio
from typing import Final

from callgate.doors.exchange import Exchange, own_headers
from callgate.pipeline import ToolPassage

BREATH_SECONDS: Final = 15.0
"""A stream that has nothing to tell says so this often, and an answer that takes longer becomes one:
proxies take silence for the end of a connection.

Source: MCP 2026-07-28, Streamable HTTP, "Receiving Messages".
"""

BREATH: Final = b":\r\n\r\n"
"""A comment, which means nothing."""

JSON: Final = (("content-type", "application/json"),)

EVENTS: Final = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
)
"""Headers of a stream; the last tells a proxy to pass it on as it comes."""


class Channel:
    """What one request is answered by.

    Args:
        exchange: The request.

    Attributes:
        passage: The call that it is about, as soon as there is one.
        may_stream: The client reads a stream.
        is_ended: The answer was given to its end.
    """

    __slots__ = ("_breath", "_ended", "_exchange", "_timer", "is_ended", "may_stream", "passage")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.passage: ToolPassage | None = None
        self._breath: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Event | None = None
        self.is_ended = False
        self.may_stream = takes_events(exchange)
        if self.may_stream:
            self._wait()

    async def tell(self, message: bytes) -> None:
        """Send a message before the end; nowhere, where the client takes no stream."""
        if self.may_stream and not self.is_ended:
            await self._piece(event(message))

    async def end(self, message: bytes) -> None:
        """Send the last message; once only."""
        if self.is_ended:
            return
        self.close()
        if self._exchange.started:
            await self._exchange.piece(event(message), last=True)
        else:
            await self._exchange.answer(200, own_headers(self.passage, JSON), message)

    async def ended(self) -> None:
        """Return when the answer was given to its end, or never will be."""
        if not self.is_ended:
            self._ended = asyncio.Event()
            await self._ended.wait()

    def close(self) -> None:
        """Send nothing more."""
        self.is_ended = True
        if self._ended is not None:
            self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._breath is not None:
            self._breath.cancel()

    async def _piece(self, piece: bytes) -> None:
        if not self._exchange.started:
            await self._exchange.start(200, own_headers(self.passage, EVENTS))
        await self._exchange.piece(piece)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(BREATH_SECONDS, self._breathe)

    def _breathe(self) -> None:
        # One that waits for a slow client is breath enough.
        if self._breath is None or self._breath.done():
            self._breath = asyncio.get_running_loop().create_task(self._piece(BREATH))
        self._wait()


def takes_events(exchange: Exchange) -> bool:
    """Return whether a client says that it reads a stream."""
    return "text/event-stream" in (exchange.header("accept") or "")


def event(message: bytes) -> bytes:
    """Return a message as an event of a stream."""
    return b"event: message\r\ndata: " + message + b"\r\n\r\n"

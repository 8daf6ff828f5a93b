"""The door of Gemini's HTTP API: ``:generateContent`` and ``:streamGenerateContent``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Receive, Scope, Send

from callgate.doors.exchange import Exchange, ModelEndpoint
from callgate.gate import Gate
from callgate.wire.sse import Splitter, data_of

DOOR: Final = "gemini"

ADDRESS: Final = re.compile(
    r"/v1(?:beta|alpha)?/models/.+:(?:generateContent|streamGenerateContent)"
)
"""Source: Gemini's API reference; google-genai asks at ``v1beta``, or at the version it is told."""

ACTION: Final = "enerateContent"
"""How the address of a call of this door ends."""


def endpoint(gate: Gate) -> ModelEndpoint:
    """Return what answers at the addresses of this door."""
    return GeminiEndpoint(gate, gate.formats["gemini_generate_content"], door=DOOR)


def is_called(path: str) -> bool:
    """Whether a path is one of this door's; most are none, and their end tells."""
    return path.endswith(ACTION) and ADDRESS.fullmatch(path) is not None


class GeminiEndpoint(ModelEndpoint):
    """Takes calls whose address says which model they ask, and whether for a stream."""

    def _exchange(self, scope: Scope, receive: Receive, send: Send) -> Exchange:
        exchange = Exchange(scope, receive, send)
        return exchange if exchange.asked("alt") == "sse" else ArrayExchange(scope, receive, send)

    def _addressed(self, exchange: Exchange) -> tuple[str, bool]:
        named, _, action = exchange.path.rpartition(":")
        _, _, model = named.partition("/models/")
        return model, action == "streamGenerateContent"


class ArrayExchange(Exchange):
    """Writes a stream as a JSON array, an element for each event, as Google does without ``alt=sse``.

    An error after the beginning is the last element, and the array is closed after it: who reads it
    as a whole can read it.
    """

    __slots__ = ("_opened", "_splitter")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._splitter = Splitter()
        self._opened = False

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send status and headers; what follows is JSON in any case."""
        kept = [pair for pair in headers if pair[0] != "content-type"]
        await super().start(status, [*kept, ("content-type", "application/json; charset=UTF-8")])

    async def piece(self, piece: bytes, *, last: bool = False) -> None:
        """Send the events of a piece as elements."""
        events = self._splitter.feed(piece)
        if last:
            events.append(self._splitter.rest)
        written = b"".join(map(self._element, events))
        if last:
            written += b"\n]" if self._opened else b"[]"
        await super().piece(written, last=last)

    def _element(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data:
            return b""
        before, self._opened = b",\r\n" if self._opened else b"[", True
        return before + data

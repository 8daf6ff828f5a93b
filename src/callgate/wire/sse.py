"""Server-sent events: cutting a stream of bytes into events, whatever the chunks are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

EVENT_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
"""A blank line ends an event, with any of the three line ends.

Source: WHATWG HTML, "Server-sent events", parsing an event stream.
"""

LARGEST_EVENT_BYTES: Final = 64 * 1024 * 1024
"""An event that is still open after this much is no event."""


class Splitter:
    """Takes chunks, gives whole events with their blank line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are complete now, each with its own end."""
        data = self._rest + chunk if self._rest else chunk
        events: list[bytes] = []
        at = 0
        for end in EVENT_END.finditer(data):
            events.append(data[at : end.end()])
            at = end.end()
        self._rest = data[at:] if at else data
        return events

    @property
    def rest(self) -> bytes:
        """What has come since the last complete event."""
        return self._rest


def data_of(event: bytes) -> bytes:
    """Return an event's data, its lines joined by line feeds."""
    lines = [line for line in event.splitlines() if line.startswith(b"data:")]
    if len(lines) == 1:
        return lines[0][5:].strip()
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def name_of(event: bytes) -> bytes:
    """Return an event's name; nothing if it has none."""
    for line in event.splitlines():
        if line.startswith(b"event:"):
            return line[6:].strip()
    return b""


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """Give the decoded data of each event; what is not JSON (``[DONE]``) is left out."""
    splitter = Splitter()
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            data = data_of(event)
            if data[:1] in {b"{", b"["} and data != b"[DONE]":
                yield msgspec.json.decode(data)

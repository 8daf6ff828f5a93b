"""Server-sent events: cutting a stream of bytes into events, whatever the chunks are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Protocol

import msgspec

from callgate.errors import BrokenReply

EVENT_END: Final = re.compile(rb"\n\n|[\r\n]\r(?:\n|(?=[^\n]))")
"""A line end and then another one, in any of the three forms, mixed or not.

A carriage return that is the last byte so far is no end yet: its line feed may still come.

Source: WHATWG HTML, "Server-sent events", parsing an event stream.
"""

LONGEST_END: Final = 4
"""Bytes of the longest end of an event."""

LARGEST_EVENT_BYTES: Final = 64 * 1024 * 1024
"""An event that is still open after this much is no event."""


class Cutter(Protocol):
    """Cuts a stream of bytes into events."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """Return the events that are complete now.

        Raises:
            BrokenReply: What comes next can be no event.
        """
        ...

    @property
    def rest(self) -> bytes:
        """What has come since the last complete event."""
        ...


class Splitter:
    """Takes chunks, gives whole events with their blank line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are complete now, each with its own end.

        Raises:
            BrokenReply: What is open has grown beyond every event.
        """
        if not self._rest and _is_one_event(chunk):
            return [chunk]
        if not self._rest:
            events, at = _cut(chunk, 0)
            self._rest += chunk[at:]
        else:
            # Only the new bytes are searched, and an end that they complete.
            seen = max(0, len(self._rest) - LONGEST_END + 1)
            self._rest += chunk
            events, at = _cut(self._rest, seen)
            del self._rest[:at]
        if len(self._rest) > LARGEST_EVENT_BYTES:
            msg = f"the provider's stream has an event of more than {LARGEST_EVENT_BYTES:,} bytes"
            raise BrokenReply(msg, billed=True)
        return events

    @property
    def rest(self) -> bytes:
        """What has come since the last complete event."""
        return bytes(self._rest)


def _is_one_event(chunk: bytes) -> bool:
    """Whether a chunk is one whole event: most are, and this is a tenth of a search."""
    return chunk.find(b"\n\n") == len(chunk) - 2 > 0 and b"\r" not in chunk


def _cut(data: bytes | bytearray, seen: int) -> tuple[list[bytes], int]:
    """Return the whole events in ``data``, whose first ``seen`` bytes hold no end."""
    events: list[bytes] = []
    at = 0
    for end in EVENT_END.finditer(data, seen):
        events.append(bytes(data[at : end.end()]))
        at = end.end()
    return events, at


def data_of(event: bytes) -> bytes:
    """Return an event's data, its lines joined by line feeds."""
    if event.startswith(b"data:") and event.find(b"\n") >= len(event) - 2 and b"\r" not in event:
        return event[5:].strip()
    lines = [line for line in event.splitlines() if line.startswith(b"data:")]
    if len(lines) == 1:
        return lines[0][5:].strip()
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def comments_in(event: bytes) -> bytes:
    """Return the comments of an event that has no data, as lines that end no event.

    They keep a connection alive. The blank line behind them would make openai-python read an
    event of no data, and raise, as soon as any event before had an id; other lines without data
    make it do so always.

    Source: openai-python 3.57 (``SSEDecoder``), and its issues 2722 and 3833.
    """
    return b"".join(line for line in event.splitlines(keepends=True) if line.startswith(b":"))


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

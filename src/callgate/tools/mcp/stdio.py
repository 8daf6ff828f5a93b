"""Carries the messages of MCP over the pipes of a process, one a line.

It is not the SDK's own: that one lets a line be as long as memory is large, takes time that grows
with the square of its length, and logs each line that is no message.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    RequestId,
    jsonrpc_message_adapter,
)

from callgate.clock import Clock
from callgate.tools.mcp.process import ServerProcess
from callgate.tools.mcp.valve import Valve

Item = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Item], MemoryObjectSendStream[SessionMessage]]

TOO_LARGE: Final = 1
"""The code of the error that stands for a message which was too long to keep.

Source: specification of MCP 2026-07-28, "Error codes": one's own are outside of -32768 to -32000.
"""

CHUNK_BYTES: Final = 65_536

MESSAGES_PER_SECOND: Final = 10_000
"""More than a server with 300 calls under way has to say; each costs the gate 50 us or so."""

EDGE_BYTES: Final = 120
"""How far from an end of a message its id is looked for."""

ID_FIRST: Final = re.compile(
    rb'^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+|"[^"\\]*")'
)
ID_LAST: Final = re.compile(
    rb'"id"\s*:\s*(\d+|"[^"\\]*")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$'
)
"""Where servers write the id of what they answer: those in Python before the result, those in
TypeScript after it."""

log = logging.getLogger("callgate.mcp")


class _TooLong(msgspec.Struct, frozen=True):
    """A line that was not kept: how long it was, and its ends."""

    size: int
    first: bytes
    last: bytes


@asynccontextmanager
async def pipes(
    process: ServerProcess, *, largest: int, server: str, clock: Clock, is_lost: asyncio.Event
) -> AsyncGenerator[Streams]:
    """Carry messages to and from a process as long as this is open.

    Args:
        process: Who is spoken to; it is not ended here.
        largest: How many bytes a message may have.
        server: Its name, for the log.
        clock: What time it is.
        is_lost: Set when nothing more can come.
    """
    to_session, from_server = anyio.create_memory_object_stream[Item](0)
    to_server, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    reader = _Reader(process, largest=largest, server=server, clock=clock)
    async with from_server, to_server, anyio.create_task_group() as tasks:
        tasks.start_soon(_until_lost, reader, to_session, is_lost)
        tasks.start_soon(_write, process, from_session, to_session)
        try:
            yield from_server, to_server
        finally:
            tasks.cancel_scope.cancel()


async def _until_lost(
    reader: _Reader, to_session: MemoryObjectSendStream[Item], is_lost: asyncio.Event
) -> None:
    try:
        await reader.read(to_session)
    except anyio.BrokenResourceError:
        # The session has gone first.
        pass
    finally:
        is_lost.set()


class _Reader:
    """Reads what a server says, message by message, and no faster than is good for the others."""

    def __init__(self, process: ServerProcess, *, largest: int, server: str, clock: Clock) -> None:
        self._process = process
        self._largest = largest
        self._server = server
        self._valve = Valve(clock, MESSAGES_PER_SECOND)
        self._noise = 0

    async def read(self, to_session: MemoryObjectSendStream[Item]) -> None:
        """Hand on every message until the server says no more."""
        async with to_session:
            async for line in self._lines():
                await self._valve.let_through(1)
                message = self._message(line)
                if message is not None:
                    await to_session.send(SessionMessage(message))

    async def _lines(self) -> AsyncIterator[bytes | _TooLong]:
        kept, size, first = bytearray(), 0, b""
        while chunk := await self._process.output.read(CHUNK_BYTES):
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                kept += end
                size += len(end)
                if size <= self._largest:
                    yield bytes(kept)
                else:
                    yield _TooLong(
                        size, first or bytes(kept[:EDGE_BYTES]), bytes(kept[-EDGE_BYTES:])
                    )
                kept, size, first = bytearray(), 0, b""
            kept += rest
            size += len(rest)
            if size > self._largest:
                first = first or bytes(kept[:EDGE_BYTES])
                del kept[:-EDGE_BYTES]

    def _message(self, line: bytes | _TooLong) -> JSONRPCMessage | None:
        """Return what a line says; None where it says nothing to anybody."""
        if isinstance(line, _TooLong):
            return self._too_large(line)
        try:
            return jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            self._note_noise(line)
            return None

    def _too_large(self, line: _TooLong) -> JSONRPCMessage | None:
        """Return an error in the place of a message that was too long."""
        answered = ID_FIRST.search(line.first) or ID_LAST.search(line.last)
        said = f"a message of {line.size:,} bytes; {self._largest:,} are taken"
        log.warning("%s sent %s", self._server, said)
        if answered is None:
            return None
        number: RequestId = msgspec.json.decode(answered[1])
        error = ErrorData(code=TOO_LARGE, message=said)
        return JSONRPCError(jsonrpc="2.0", id=number, error=error)

    def _note_noise(self, line: bytes) -> None:
        """Say once that a server writes what is no message where only messages belong."""
        self._noise += 1
        if self._noise == 1 and line.strip():
            log.warning(
                "%s writes lines to its standard output that are no messages of MCP; they are not "
                "read, and further ones are not told of",
                self._server,
            )


async def _write(
    process: ServerProcess,
    from_session: MemoryObjectReceiveStream[SessionMessage],
    to_session: MemoryObjectSendStream[Item],
) -> None:
    """Write every message; where that fails, the session hears that all is over."""
    try:
        async with from_session:
            async for item in from_session:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.input.write(text.encode() + b"\n")
                await process.input.drain()
    except OSError:
        await to_session.aclose()

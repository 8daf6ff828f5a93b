"""Who comes to a server: clients that send bytes as they like, and applications that answer them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from callgate.doors.server import Bounds, Server

SOON = 10.0
"""For how long a test waits for what should be there at once."""


# What is asked, and what comes back.


def post(body: bytes = b"", *, path: bytes = b"/", headers: bytes = b"") -> bytes:
    """Return a whole request with its length."""
    return b"POST %b HTTP/1.1\r\nhost: gate\r\n%bcontent-length: %d\r\n\r\n%b" % (
        path,
        headers,
        len(body),
        body,
    )


def chunk(body: bytes) -> bytes:
    """Return one piece of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(body), body)


CHUNKED = b"POST / HTTP/1.1\r\nhost: gate\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response as a client sees it."""

    status: int
    version: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


class Visitor:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, request: bytes = GET) -> Answer:
        self.send(request)
        return await self.answer()

    async def hear(self, until: bytes) -> bytes:
        """Read up to and with these bytes."""
        async with asyncio.timeout(SOON):
            return await self.reader.readuntil(until)

    async def answer(self, *, to_head: bool = False) -> Answer:
        """Read one response; only what its framing says belongs to it."""
        head = (await self.hear(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        version, status = head[0].split(" ")[:2]
        fields = [
            (name, value.strip()) for name, _, value in (one.partition(":") for one in head[1:])
        ]
        body = b"" if to_head else await self._body(dict(fields))
        return Answer(status=int(status), version=version, headers=fields, body=body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        async with asyncio.timeout(SOON):
            if headers.get("transfer-encoding") == "chunked":
                return b"".join([piece async for piece in self.pieces()])
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"]))
            return await self.reader.read()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Read the pieces of a chunked body up to its end."""
        while size := int(await self.hear(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"

    async def ended(self) -> bytes:
        """Wait until the server has closed the connection; return what came before."""
        came: list[bytes] = []
        async with asyncio.timeout(SOON):
            try:
                while data := await self.reader.read(65_536):
                    came.append(data)
            except ConnectionResetError:
                pass
        return b"".join(came)

    def leave(self) -> None:
        """Close the connection, as an SDK does when its caller loses interest."""
        self.writer.close()

    def say_no_more(self) -> None:
        """Close this side of the connection only."""
        self.writer.write_eof()

    def vanish(self) -> None:
        """Reset the connection, as a kernel does for a process that was killed."""
        found: socket.socket = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def trickle(visitor: Visitor) -> None:
    """Send a byte now and then."""
    while True:
        visitor.send(b"x")
        await asyncio.sleep(0.01)


class Listening(Protocol):
    """A server, of this process or another."""

    @property
    def url(self) -> str: ...


@asynccontextmanager
async def visit(server: Listening) -> AsyncGenerator[Visitor]:
    """Connect to a server."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    visitor = Visitor(*await asyncio.open_connection(host, int(port)))
    try:
        yield visitor
    finally:
        visitor.writer.transport.abort()


# Who answers.


@asynccontextmanager
async def serving(
    app: ASGIApp, *, drain_seconds: float = SOON, **bounds: Any
) -> AsyncGenerator[Server]:
    """Serve an application at a port of its own."""
    server = Server(
        app, host="127.0.0.1", port=0, drain_seconds=drain_seconds, bounds=Bounds(**bounds)
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def visiting(app: ASGIApp, **bounds: Any) -> AsyncGenerator[Visitor]:
    """Serve an application to one visitor."""
    async with serving(app, **bounds) as server, visit(server) as visitor:
        yield visitor


async def read(receive: Receive) -> bytes | None:
    """Read a request's body; None if its client left before the end."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts)


async def start(send: Send, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def piece(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def end(send: Send, data: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": data})


async def tell(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    """Answer whole."""
    await start(send, *headers, (b"content-length", b"%d" % len(body)), status=status)
    await end(send, body)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's path and body."""
    body = await read(receive)
    if body is not None:
        await tell(send, scope["raw_path"] + b" " + body)


class Stream:
    """An application that begins a stream and then says nothing; notes what becomes of it.

    Attributes:
        left: Set once it was told that its client has left.
        cancelled: Set once it was cancelled.
        over: Set when nothing of it runs any more.
        next: Set it, and the stream goes on to its end.
    """

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.over = asyncio.Event()
        self.next = asyncio.Event()

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        watch = asyncio.create_task(self._watch(receive))
        try:
            await start(send, (b"content-type", b"text/event-stream"))
            await piece(send, b"one")
            await first(self.next.wait(), self.left.wait())
            await end(send, b"two")
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            watch.cancel()
            self.over.set()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


async def first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for whichever comes first."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def soon(wait: Awaitable[object]) -> None:
    """Wait for what should happen at once."""
    async with asyncio.timeout(SOON):
        await wait

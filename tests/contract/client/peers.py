"""Servers that answer by a script of bytes and remember what they were sent, and who asks them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest

from callgate.call import Headers
from callgate.errors import Failed
from callgate.outside.client import Client, Response, Timeouts


class Conversation:
    """One connection that a peer accepted.

    Attributes:
        requests: What came, each with its head and body.
        ended: Set once the other side has closed the connection, or we have.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()

    async def hear(self) -> bytes:
        """Read one request whole."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        request = head + await self.reader.readexactly(length)
        self.requests.append(request)
        return request


Step = bytes | Callable[[Conversation], Awaitable[None]]
"""What a peer does next: send these bytes, or this."""
Answer = Sequence[Step]
"""What a peer does about one request; the connection stays open after the last step."""


async def hang_up(conversation: Conversation) -> None:
    """Close the connection in the proper way."""
    conversation.writer.close()
    await conversation.writer.wait_closed()


async def reset(conversation: Conversation) -> None:
    """Drop the connection so that the other side sees a reset."""
    await conversation.writer.drain()
    found: socket.socket = conversation.writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conversation.writer.transport.abort()


async def stall(conversation: Conversation) -> None:
    """Say nothing until the other side gives up."""
    await conversation.reader.read()
    raise EOFError


def wait(event: asyncio.Event) -> Step:
    """Say nothing until ``event`` is set."""

    async def waiting(_: Conversation) -> None:
        await event.wait()

    return waiting


def pause(seconds: float) -> Step:
    """Say nothing for a while, where what is tested is how long a silence may be."""

    async def pausing(_: Conversation) -> None:
        await asyncio.sleep(seconds)

    return pausing


def plain(body: bytes, *, status: str = "200 OK", headers: bytes = b"") -> bytes:
    """Return a whole reply with its length."""
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
        status.encode(),
        headers,
        len(body),
        body,
    )


def chunk(body: bytes) -> bytes:
    """Return one piece of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Peer:
    """A server that gives its answers in their order, whatever is asked on which connection.

    Attributes:
        conversations: Every connection so far, in the order of their coming.
        url: Where it listens.
    """

    def __init__(self, answers: Sequence[Answer], scheme: str) -> None:
        self._answers = list(answers)
        self._scheme = scheme
        self._news = asyncio.Event()
        self.conversations: list[Conversation] = []
        self.port = 0

    @property
    def url(self) -> str:
        """A path on this peer."""
        return f"{self._scheme}://127.0.0.1:{self.port}/v1/chat"

    @property
    def requests(self) -> list[bytes]:
        """Everything that was asked, connection by connection."""
        return [request for talk in self.conversations for request in talk.requests]

    async def listen(self, context: ssl.SSLContext | None) -> Self:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def asked(self, times: int = 1) -> None:
        """Wait until there were so many requests, for ten seconds at most."""
        async with asyncio.timeout(10):
            while len(self.requests) < times:
                self._news.clear()
                await self._news.wait()

    async def gone(self) -> None:
        """Wait until every connection has ended, for a second at most."""
        async with asyncio.timeout(1):
            for conversation in self.conversations:
                await conversation.ended.wait()

    async def close(self) -> None:
        """Stop listening and drop whatever is still open."""
        self._server.close()
        for conversation in self.conversations:
            conversation.writer.transport.abort()
        await self.gone()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(reader, writer)
        self.conversations.append(conversation)
        try:
            while not writer.is_closing():
                await conversation.hear()
                self._news.set()
                for step in self._answers.pop(0):
                    await self._take(step, conversation)
        except (EOFError, ConnectionError):
            pass
        finally:
            conversation.ended.set()
            writer.close()

    async def _take(self, step: Step, conversation: Conversation) -> None:
        if isinstance(step, bytes):
            conversation.writer.write(step)
            await conversation.writer.drain()
        else:
            await step(conversation)


@asynccontextmanager
async def peer(*answers: Answer, context: ssl.SSLContext | None = None) -> AsyncGenerator[Peer]:
    """Run a peer that answers the first request by ``answers[0]``, and so on.

    Args:
        answers: See :data:`Answer`.
        context: What makes it speak TLS.
    """
    listening = await Peer(answers, "https" if context else "http").listen(context)
    try:
        yield listening
    finally:
        await listening.close()


@asynccontextmanager
async def tunnel() -> AsyncGenerator[Peer]:
    """Run an HTTP proxy that opens a tunnel to wherever ``CONNECT`` says."""

    async def dig(conversation: Conversation) -> None:
        host, _, port = conversation.requests[0].split(b" ")[1].partition(b":")
        reader, writer = await asyncio.open_connection(host.decode(), int(port))
        conversation.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        there = asyncio.create_task(_copy(conversation.reader, writer))
        await _copy(reader, conversation.writer)
        await there

    async with peer([dig]) as proxy:
        yield proxy


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


HEADERS: Headers = (("authorization", "Bearer k"), ("content-type", "application/json"))
BODY = b'{"model":"m"}'
NEVER = 60.0
SOON = 0.1


@asynccontextmanager
async def connect(
    *,
    connect_seconds: float = NEVER,
    first_byte_seconds: float = NEVER,
    read_seconds: float = NEVER,
    total_seconds: float = NEVER,
    ca_file: Path | None = None,
    proxy: str | None = None,
) -> AsyncGenerator[Client]:
    timeouts = Timeouts(
        connect_seconds=connect_seconds,
        first_byte_seconds=first_byte_seconds,
        read_seconds=read_seconds,
        total_seconds=total_seconds,
    )
    client = Client(timeouts=timeouts, ca_file=ca_file, proxy=proxy)
    try:
        yield client
    finally:
        await client.close()


async def ask(client: Client, url: str) -> Response:
    return await client.send(url, headers=HEADERS, body=BODY)


async def ask_whole(client: Client, url: str) -> bytes:
    response = await ask(client, url)
    try:
        return await response.read()
    finally:
        await response.close()


async def read_until_failure(client: Client, url: str) -> tuple[bytes, Failed]:
    """Return what came before the reply broke, and what was said then."""
    response = await ask(client, url)
    came = b""
    with pytest.raises(Failed) as failure:
        async for piece in response.chunks():
            came += piece
    await response.close()
    return came, failure.value


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

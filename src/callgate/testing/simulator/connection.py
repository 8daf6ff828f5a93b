"""HTTP/1.1 on one socket, low enough to be broken on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol, cast

import httptools
import msgspec

from callgate.testing.clocks import Turn

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

    def _count_unacknowledged(sock: socket.socket) -> int:
        """Count the bytes that the kernel still holds for the client (SIOCOUTQ, tcp(7))."""
        return int.from_bytes(ioctl(sock.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)

else:

    def _count_unacknowledged(sock: socket.socket) -> int:
        """Return 0: elsewhere a reset may take back what a slow client has not received."""
        del sock
        return 0


LARGEST_BODY: Final = 64 * 1024 * 1024
MOST_QUEUED: Final = 16
"""Requests that may wait on one connection before reading pauses (pipelining)."""
POLL_SECONDS: Final = 0.001
ZERO_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing throws away what is unsent and sends RST."""

REASONS: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Site Overloaded",
}

Headers = Iterable[tuple[str, str]]


class Incoming(msgspec.Struct, kw_only=True):
    """A request as it came off the wire."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    """Names in lower case, in their order."""
    body: bytes
    keep_alive: bool
    chunks: bool
    """Whether the client reads chunked replies (HTTP/1.1)."""
    too_large: bool = False

    def header(self, name: str) -> str | None:
        """Return the first header of this name, which is in lower case."""
        return next((value for key, value in self.headers if key == name), None)


class Handler(Protocol):
    """Who answers."""

    def answer(self, incoming: Incoming, connection: Connection, /) -> asyncio.Task[None] | None:
        """Answer at once and return None, or return the task that does."""
        ...


class Connection(asyncio.Protocol):
    """One client; requests on it are answered one after the other.

    Args:
        handler: Who answers.
        live: Holds this connection from when it is made until it is lost.
    """

    def __init__(self, handler: Handler, live: set[Connection]) -> None:
        self._handler = handler
        self._live = live
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Incoming] = deque()
        self._current: Incoming | None = None
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._resumed: asyncio.Future[None] | None = None
        self._url = b""
        self._fields: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._size = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket = cast("socket.socket | None", transport.get_extra_info("socket"))
        self._live.add(self)

    def data_received(self, data: bytes) -> None:
        """Read bytes; what is not HTTP is answered by 400 and the end of the connection."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.send(400, [("content-type", "text/plain")], b"This is not an HTTP/1.1 request.\n")
            self.close()
        self._serve_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop answering: the client left, or we did."""
        del exc
        self._live.discard(self)
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Note that the client reads slower than we write."""
        if self._resumed is None:
            self._resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Note that the client caught up."""
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        self._resumed = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._url, self._fields, self._parts, self._size = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Let a client that asks first send its body."""
        if any(name == "expect" and "100-continue" in value for name, value in self._fields):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; beyond the limit it is counted and dropped."""
        self._size += len(body)
        if self._size <= LARGEST_BODY:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Queue the request."""
        target = self._url.decode("latin-1")
        path, _, query = target.partition("?")
        incoming = Incoming(
            method=self._parser.get_method().decode("latin-1"),
            path=path,
            query=query,
            headers=self._fields,
            body=b"".join(self._parts),
            keep_alive=self._parser.should_keep_alive(),
            chunks=self._parser.get_http_version() != "1.0",
            too_large=self._size > LARGEST_BODY,
        )
        self._parts = []
        self._queue.append(incoming)
        if len(self._queue) > MOST_QUEUED:
            self._paused = True
            self._transport.pause_reading()

    def _serve_next(self) -> None:
        while self._task is None and self._queue and not self._transport.is_closing():
            self._current = self._queue.popleft()
            self._task = self._handler.answer(self._current, self)
            if self._task is None:
                self._end_request()
            else:
                self._task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            self._transport.abort()
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "simulator", "exception": task.exception()})
            return
        self._end_request()
        self._serve_next()

    def _end_request(self) -> None:
        if self._current is not None and not self._current.keep_alive:
            self._transport.close()
        self._current = None
        if self._paused and not self._queue and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # What an answer is made with.

    def send(
        self, status: int, headers: Headers, body: bytes, *, cut_at: int | None = None
    ) -> None:
        """Send a plain reply.

        Args:
            status: The HTTP status.
            headers: All headers but ``content-length``.
            body: The body.
            cut_at: Send only so many bytes of the body, though all of them are announced.
        """
        head = _head(status, headers, f"content-length: {len(body)}\r\n{self._closing()}")
        self._transport.write(head + body[:cut_at])

    def start_stream(self, status: int, headers: Headers) -> None:
        """Send the head of a chunked reply."""
        framing = "transfer-encoding: chunked\r\n" if self._chunks() else ""
        self._transport.write(_head(status, headers, framing + self._closing()))

    def send_chunk(self, data: bytes) -> None:
        """Send one chunk, in one write."""
        if self._chunks():
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(data)

    def end_stream(self) -> None:
        """End a chunked reply as HTTP wants it."""
        if self._chunks():
            self._transport.write(b"0\r\n\r\n")

    async def drain(self) -> None:
        """Wait while the client is far behind."""
        if self._resumed is not None:
            await self._resumed

    async def flush(self) -> None:
        """Wait until every byte has reached the client's side, where no RST takes it back."""
        self._transport.set_write_buffer_limits(0)
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():
            await (self._resumed or Turn())
        self._transport.set_write_buffer_limits()
        while self._socket is not None and not self._transport.is_closing():
            if not _count_unacknowledged(self._socket):
                return
            await _pause()

    def close(self) -> None:
        """End the connection by FIN, after what was written."""
        self._transport.close()

    def reset(self) -> None:
        """End the connection by RST."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ZERO_LINGER)
        self._transport.abort()

    def abort(self) -> asyncio.Task[None] | None:
        """End the connection at once; return the task that was answering on it."""
        self._transport.abort()
        return self._task

    def _chunks(self) -> bool:
        return self._current is not None and self._current.chunks

    def _closing(self) -> str:
        keeps = self._current is not None and self._current.keep_alive
        return "\r\n" if keeps else "connection: close\r\n\r\n"


async def _pause() -> None:
    """Wait for a moment of real time, which a virtual clock does not shorten."""
    done = asyncio.Event()
    timer = asyncio.get_running_loop().call_later(POLL_SECONDS, done.set)
    try:
        await done.wait()
    finally:
        timer.cancel()


def _head(status: int, headers: Headers, rest: str) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    reason = REASONS.get(status, "Unknown")
    return f"HTTP/1.1 {status} {reason}\r\n{lines}{rest}".encode("latin-1")


async def listen(
    handler: Handler, live: set[Connection], *, host: str, port: int
) -> asyncio.Server:
    """Accept connections and let ``handler`` answer on them."""

    def connect() -> Connection:
        return Connection(handler, live)

    return await asyncio.get_running_loop().create_server(connect, host, port, backlog=4096)

"""HTTP/1.1 on one connection: what comes is checked, bounded, and answered in its order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import deque
from typing import Final, cast
from urllib.parse import unquote

import httptools
from starlette.types import Scope

from callgate.doors.server.request import STATUS_LINES, Header, Request
from callgate.doors.server.traffic import Traffic

MOST_HELD_BYTES: Final = 65_536
"""Of a body that waits for the application, when reading pauses; of requests that are sent ahead
of earlier answers, when they are refused: who pauses would not see the client leave."""
MOST_AHEAD: Final = 100
"""Requests that may wait for their turn."""

FAULTS: Final = {
    400: "this is not an HTTP request that can be read in one way only",
    408: "the request did not arrive in time",
    429: "too much was sent on this connection ahead of the answers",
    431: "the head of the request is too large",
    500: "the gate could not answer this request; its log says why",
    503: "the gate is stopping, and this request took longer than it waits",
}
FINAL: Final = frozenset({400, 429, 431, 500})
"""Faults that another try would only repeat."""


class Unreadable(Exception):
    """A request that is not taken.

    Args:
        status: What it is answered with.
    """

    def __init__(self, status: int) -> None:
        super().__init__(FAULTS[status])
        self.status = status


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other.

    Nothing here limits how long an answer takes; whatever only the client can do has a bound.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._bounds = traffic.bounds
        self._loop = traffic.loop
        self.writable = asyncio.Event()
        self.writable.set()
        # What is being read.
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[Header] = []
        self._hosts = 0
        self._asks_first = False
        self._is_in_head = False
        self._quiet_bytes = 0
        # What was read: the request whose body still comes, the one that is answered, the next.
        self._incoming: Request | None = None
        self._current: Request | None = None
        self._ahead: deque[Request] = deque()
        self._is_paused = False
        # How it ends: nothing more is read; nothing more is written.
        self._is_deaf = False
        self._is_over = False
        self._last_words: bytes | None = None
        self._due_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._client = _address(transport, "peername")
        self._server = _address(transport, "sockname")
        self._wait(self._bounds.head_seconds)
        self._traffic.enter(self)

    def data_received(self, data: bytes) -> None:
        """Read bytes, and begin with what they ask for."""
        if self._is_deaf:
            return
        was_in_head = self._is_in_head
        try:
            self._read(data)
        except Unreadable as error:
            self._refuse(error.status)
        if self._current is None and self._ahead:
            self._begin()
        elif self._current is not None or (self._is_in_head and not was_in_head):
            self._await_client()
        if self._ahead and self._is_far_ahead():
            self._refuse(429)
        self._pace()

    def eof_received(self) -> None:
        """Take the client's end for its leave: of one that hung up we may never see more."""
        self._lose()
        self._await_end(self._bounds.linger_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that nobody is there any more."""
        del exc
        self._lose()
        if self._timer is not None:
            self._timer.cancel()
        del self._parser
        self._traffic.leave(self)

    def pause_writing(self) -> None:
        """Let the answers wait: the client is behind."""
        self.writable.clear()
        self._wait(self._bounds.stall_seconds)

    def resume_writing(self) -> None:
        """Let the answers go on."""
        self.writable.set()
        self._await_client()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._quiet_bytes = 0
        self._is_in_head = True
        self._url, self._headers, self._hosts = b"", [], 0
        self._asks_first = False

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, of a request or of what follows its body."""
        name = name.lower()
        self._headers.append((name, value.rstrip(b"\t ")))
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self._asks_first = value.lower() == b"100-continue"
        if len(self._headers) > self._bounds.head_count:
            raise Unreadable(431)

    def on_headers_complete(self) -> None:
        """Take a request whose body may follow; it begins once its packet has been read."""
        self._quiet_bytes = 0
        self._is_in_head = False
        method, version = self._parser.get_method(), self._parser.get_http_version()
        # Source: RFC 9112 §3.2 (hosts). This is no proxy, so there is nothing to connect to.
        hosts = (1,) if version == "1.1" else (0, 1)
        if method == b"CONNECT" or version not in {"1.0", "1.1"} or self._hosts not in hosts:
            raise Unreadable(400)
        if self._parser.should_upgrade():
            return
        self._incoming = Request(
            self,
            self._scope(method.decode("ascii"), version),
            lasts=version == "1.1" and self._parser.should_keep_alive(),
            asks_first=self._asks_first and version == "1.1",
        )
        # What follows the body in the form of headers is not among those that were judged.
        self._headers = []
        self._ahead.append(self._incoming)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; what nobody will read is not kept."""
        self._quiet_bytes = 0
        if self._incoming is not None and not self._incoming.is_answered:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._quiet_bytes = 0
        request, self._incoming = self._incoming, None
        if request is not None:
            request.complete()

    # What a request calls.

    @property
    def may_last(self) -> bool:
        """Whether another request could follow."""
        return not self._traffic.is_draining

    def write(self, data: bytes) -> None:
        """Send bytes to the client; nowhere once the connection is being closed."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def took(self) -> None:
        """Note that the application has read what was here of a body."""
        if self._is_paused:
            self._pace()

    def answered(self, request: Request) -> None:
        """Go on with the next request, or wait for one, or end the connection."""
        self._current = None
        if self._traffic.is_draining or not request.lasts:
            self._hang_up(lingers=not request.is_whole)
        elif self._ahead:
            self._begin()
        elif self._last_words is not None:
            self._hang_up(self._last_words, lingers=True)
        else:
            self._await_client()
        self._pace()

    # What the traffic calls.

    def drain(self) -> None:
        """Take no other request; close at once if none is being answered."""
        if self._current is None:
            self._hang_up(lingers=False)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def fail(self, request: Request, status: int) -> None:
        """Answer with a fault, or cut an answer that has begun."""
        if not (request.is_answered or request.is_gone):
            self._current = None
            words = b"" if request.is_started else fault(status)
            self._hang_up(words, lingers=not request.is_whole)

    # Within.

    def _read(self, data: bytes) -> None:
        """Let the parser read; what it makes of it arrives above, within this call.

        Raises:
            Unreadable: It can make nothing of it, or there is no end to it.
        """
        self._quiet_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise Unreadable(cause.status if isinstance(cause, Unreadable) else 400) from error
        if self._quiet_bytes > self._bounds.head_bytes:
            raise Unreadable(431 if self._is_in_head else 400)

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while rest:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                # We speak nothing else and go on in HTTP/1.1, but the parser skips the body of a
                # request that asks, as each one of Java's own client does. So it reads the head
                # again, without the wish.
                head = self._head_without_upgrade()
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)
                rest = memoryview(rest)[upgrade.args[0] :]
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        return b"%b %b HTTP/%b\r\n%b\r\n" % (
            self._parser.get_method(),
            self._url,
            self._parser.get_http_version().encode(),
            b"".join(b"%b: %b\r\n" % pair for pair in self._headers if pair[0] != b"upgrade"),
        )

    def _scope(self, method: str, version: str) -> Scope:
        path, query = target(self._url)
        text = path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": self._headers,
            "extensions": self._traffic.extensions,
        }

    def _begin(self) -> None:
        self._current = self._ahead.popleft()
        self._await_client()
        self._traffic.begin(self, self._current)

    def _refuse(self, status: int) -> None:
        """Read no more, and say why after the answers to what came before."""
        self._is_deaf = True
        self._last_words = fault(status)
        broken, self._incoming = self._incoming, None
        if broken is not None and broken is self._current:
            self._current = None
            broken.lose()
            self._hang_up(b"" if broken.is_started else self._last_words, lingers=True)
            return
        if broken is not None and self._ahead:
            self._ahead.pop()
        if self._current is None and not self._ahead:
            self._hang_up(self._last_words, lingers=True)

    def _hang_up(self, words: bytes = b"", *, lingers: bool) -> None:
        """End the connection after what was written.

        Args:
            words: The last of it.
            lingers: The client may still be sending. What it sends is taken and forgotten for a
                while, since the kernel answers it otherwise by taking back what was written.
        """
        self._is_deaf = True
        self._ahead.clear()
        if self._is_over or self._transport.is_closing():
            return
        self._is_over = True
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if words:
            self._transport.write(words)
        if lingers:
            # A reset that asyncio's loop has not told yet is an error here.
            with contextlib.suppress(OSError):
                self._transport.write_eof()
        else:
            self._transport.close()
        bounds = self._bounds
        self._await_end(bounds.linger_seconds if self._incoming is None else bounds.body_seconds)

    def _lose(self) -> None:
        self._is_deaf = True
        if self._current is not None:
            self._current.lose()
        self.writable.set()

    def _is_far_ahead(self) -> bool:
        held_bytes = sum(request.held_bytes for request in self._ahead)
        return len(self._ahead) > MOST_AHEAD or held_bytes > MOST_HELD_BYTES

    def _pace(self) -> None:
        """Read on, or pause while more than enough of a body waits for the application."""
        body = self._incoming if self._incoming is self._current else None
        is_much = body is not None and body.held_bytes > MOST_HELD_BYTES
        if is_much == self._is_paused or self._is_over or self._transport.is_closing():
            return
        self._is_paused = is_much
        if is_much:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        self._await_client()

    # How long the client may take.

    def _await_client(self) -> None:
        """Begin to wait for what is the client's to do next."""
        if self._is_over or not self.writable.is_set():
            return
        bounds = self._bounds
        if self._current is not None:
            awaits_body = self._current is self._incoming and not self._is_paused
            self._wait(bounds.body_seconds if awaits_body else math.inf)
        elif self._incoming is not None:
            self._wait(bounds.body_seconds)
        else:
            self._wait(bounds.head_seconds if self._is_in_head else bounds.idle_seconds)

    def _await_end(self, seconds: float) -> None:
        """Begin to wait for the client's end, first until it has read what was written."""
        is_behind = self._transport.get_write_buffer_size() > 0
        self._wait(self._bounds.stall_seconds if is_behind else seconds)

    def _wait(self, seconds: float) -> None:
        """Set the instant when the wait is over; the timer runs on to an earlier one."""
        self._due_at = due_at = self._loop.time() + seconds
        if self._timer is None or due_at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None if due_at == math.inf else self._loop.call_at(due_at, self._look)

    def _look(self) -> None:
        """End what takes too long; if nothing does, look again when something could."""
        self._timer = None
        left_seconds = self._due_at - self._loop.time()
        if left_seconds > 0:
            self._wait(left_seconds)
        elif self._is_over or self._transport.is_closing() or not self.writable.is_set():
            self._transport.abort()
        elif self._current is not None or self._is_in_head:
            self._refuse(408)
        else:
            self._hang_up(lingers=False)


def _address(transport: asyncio.BaseTransport, name: str) -> tuple[str, int] | None:
    found = transport.get_extra_info(name)
    return (found[0], found[1]) if found else None


def target(url: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query that a request names.

    Raises:
        Unreadable: It names something else than a path here.
    """
    if url[:1] == b"/":
        path, _, query = url.partition(b"#")[0].partition(b"?")
        return path, query
    if url[:7].lower() not in {b"http://", b"https:/"}:
        raise Unreadable(400)
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


def fault(status: int) -> bytes:
    """Return an answer of the server's own, as the SDKs of both families read it."""
    kind = "api_error" if status in {500, 503} else "invalid_request_error"
    error = {"type": kind, "message": FAULTS[status], "param": None, "code": None}
    body = json.dumps({"type": "error", "error": error}).encode()
    return (
        b"%bcontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"
    ) % (
        STATUS_LINES[status],
        len(body),
        b"x-should-retry: false\r\n" if status in FINAL else b"",
        body,
    )

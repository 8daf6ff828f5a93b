"""One request and its answer: what ASGI calls ``scope``, ``receive`` and ``send``."""

from __future__ import annotations

import asyncio
import http
import re
from collections.abc import Iterable
from typing import Final, Protocol

from starlette.types import Message, Scope

Header = tuple[bytes, bytes]

STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in http.HTTPStatus
}

HEADER_LINES: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
"""Headers as HTTP writes them, one a line.

Source: RFC 9110 §5.1 and §5.5.
"""

FRAMING: Final = frozenset({b"connection", b"content-length", b"keep-alive", b"transfer-encoding"})
"""Headers about the connection; of what an application says in them only the end counts."""

WITHOUT_BODY: Final = frozenset({204, 304})

GONE: Final[Message] = {"type": "http.disconnect"}


class Line(Protocol):
    """The connection, as its requests need it."""

    writable: asyncio.Event
    """Set while the client reads what it is sent."""

    @property
    def may_last(self) -> bool:
        """Whether another request could follow on this connection."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        ...

    def took(self) -> None:
        """Note that the application has read what was here of a body."""
        ...

    def answered(self, request: Request) -> None:
        """Go on after an answer that is whole."""
        ...


class Request:
    """A request that an application answers.

    Args:
        line: Where it came from.
        scope: What ASGI tells the application about it.
        lasts: Whether the client would ask again on this connection.
        asks_first: The client sends the body once it was told to go on.

    Attributes:
        held_bytes: What is here of the body and was not read yet.
        is_whole: The body is here up to its end.
        is_gone: The client has left, or the rest of its request will never come.
        is_started: The head of the answer was given.
        is_answered: The answer was given up to its end.
        lasts: Whether the connection is of use after the answer.
    """

    __slots__ = (
        "_asks_first",
        "_has_body",
        "_head",
        "_is_chunked",
        "_is_told",
        "_left_bytes",
        "_line",
        "_news",
        "_parts",
        "held_bytes",
        "is_answered",
        "is_gone",
        "is_started",
        "is_whole",
        "lasts",
        "scope",
    )

    def __init__(self, line: Line, scope: Scope, *, lasts: bool, asks_first: bool) -> None:
        self._line = line
        self.scope = scope
        self.lasts = lasts
        self._asks_first = asks_first
        self.is_whole = False
        self.is_gone = False
        self.is_started = False
        self.is_answered = False
        self.held_bytes = 0
        self._parts: list[bytes] = []
        self._is_told = False
        self._news: asyncio.Event | None = None
        self._head = b""
        self._has_body = True
        self._is_chunked = False
        self._left_bytes: int | None = None

    # From the client.

    def feed(self, part: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(part)
        self.held_bytes += len(part)
        self._tell()

    def complete(self) -> None:
        """Take the end of the body."""
        self.is_whole = True
        self._tell()

    def lose(self) -> None:
        """Take note that the client is gone."""
        self.is_gone = True
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    # To the application.

    async def receive(self) -> Message:
        """Give the next part of the body; after it, wait until the client leaves or is answered."""
        if self._asks_first:
            self._ask_for_body()
        while not (self.is_gone or self.is_answered):
            if self._parts or (self.is_whole and not self._is_told):
                return self._next_part()
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return GONE

    def _ask_for_body(self) -> None:
        if not (self.is_whole or self.is_started or self.is_gone):
            self._asks_first = False
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _next_part(self) -> Message:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._is_told = self.is_whole
        self.held_bytes = 0
        self._line.took()
        return {"type": "http.request", "body": body, "more_body": not self.is_whole}

    # From the application.

    async def send(self, message: Message) -> None:
        """Send a part of the answer, once the client has read enough of what came before.

        Raises:
            RuntimeError: It is no part of an answer at this point; the connection is cut.
            ValueError: A header would be read as something else.
        """
        if not (self._line.writable.is_set() or self.is_gone):
            await self._line.writable.wait()
        if self.is_gone:
            return
        if message["type"] == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._start(message["status"], message.get("headers", ()))

    def _start(self, status: int, headers: Iterable[Header]) -> None:
        if self.is_started:
            msg = "the answer was started twice"
            raise RuntimeError(msg)
        lines = self._own_lines(headers)
        self._has_body = status not in WITHOUT_BODY and self.scope["method"] != "HEAD"
        if self._has_body and self._left_bytes is None:
            # An older client does not know chunks: the end of the connection is the answer's.
            self._is_chunked = self.scope["http_version"] == "1.1"
        # A client that was not told to go on may send the body or not: nothing can follow it.
        asks_still = self._asks_first and not self.is_whole
        self.lasts = self.lasts and self._line.may_last and not asks_still
        self._head = b"%b%b%b%b\r\n" % (
            STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
            lines,
            b"transfer-encoding: chunked\r\n" if self._is_chunked else b"",
            b"" if self.lasts else b"connection: close\r\n",
        )
        self.is_started = True
        if self._is_chunked:
            # The first piece may be long in coming; where a length is known, the body is there.
            self._line.write(self._head)
            self._head = b""

    def _own_lines(self, headers: Iterable[Header]) -> bytes:
        """Return the application's headers; note what they say about the answer's end."""
        lines: list[bytes] = []
        for name, value in headers:
            lowered = name.lower()
            if lowered in FRAMING:
                if lowered == b"connection" and b"close" in value.lower():
                    self.lasts = False
                if lowered != b"content-length":
                    continue
                self._left_bytes = int(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        text = b"".join(lines)
        if text.count(b"\n") != len(lines) or not HEADER_LINES.fullmatch(text):
            msg = "a header of the answer is not one line of HTTP"
            raise ValueError(msg)
        return text

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if not self.is_started or self.is_answered:
            msg = "a part of the answer came before its start or after its end"
            raise RuntimeError(msg)
        data = self._head + self._framed(body, more=more)
        self._head = b""
        if data:
            self._line.write(data)
        if not more:
            self.is_answered = True
            self._tell()
            self._line.answered(self)

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if not self._has_body:
            return b""
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                msg = "the answer is not as long as its content-length says"
                raise RuntimeError(msg)
        return body

"""The way out: one HTTP client for each provider or tool, that changes nothing and hides nothing.

No redirects, no cookies, no decompression, no retries, no proxy from the environment: what is sent
is what was asked, and what came is what is passed on.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from callgate.call import Headers
from callgate.errors import BrokenReply, Misconfigured, TimedOut, Transient
from callgate.outside.connections import NO_TIMER, Connector, Request, tell

LONG_BODY: Final = 2**20
"""A longer body is written piece by piece, so that other calls run in between."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part of an exchange may take, in seconds."""

    connect_seconds: float
    """The address, the connection, the tunnel and the handshake together."""
    first_byte_seconds: float
    """From the connection to the reply's headers; sending the request is part of it."""
    read_seconds: float
    """The longest silence between two pieces of a reply."""
    total_seconds: float
    """From the beginning to the reply's end, however steadily it comes."""


class Response:
    """A reply whose headers are here; its body comes when it is read.

    Attributes:
        status: The status of the reply.
        headers: All its headers, as they came, names in lower case.
    """

    __slots__ = (
        "_ends_at",
        "_host",
        "_loop",
        "_response",
        "_timeouts",
        "_waiting_since",
        "_watch",
        "headers",
        "status",
    )

    def __init__(
        self, response: aiohttp.ClientResponse, host: str, *, timeouts: Timeouts, ends_at: float
    ) -> None:
        self._response = response
        self._host = host
        self._timeouts = timeouts
        self._ends_at = ends_at
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.status: int = response.status
        self.headers: Headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.raw_headers
        )

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            TimedOut: It was silent for too long, or took too long altogether.
            BrokenReply: It stopped before its end.
        """
        content = self._response.content
        if content.is_eof() and content.exception() is None:
            return content.read_nowait()
        return b"".join([piece async for piece in self.chunks()])

    async def read_at_most(self, most_bytes: int) -> bytes | None:
        """Return the whole body, or None where it has more bytes than that; raises as :meth:`read`."""
        pieces: list[bytes] = []
        async with aclosing(self.chunks()) as chunks:
            async for piece in chunks:
                pieces.append(piece)
                most_bytes -= len(piece)
                if most_bytes < 0:
                    return None
        return b"".join(pieces)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Give the body in the pieces that come; raises as :meth:`read` does, after the last."""
        content, now = self._response.content, self._loop.time
        if not content.is_eof():
            self._look_at(now() + self._timeouts.read_seconds)
        try:
            while True:
                self._waiting_since = now()
                piece = await content.readany()
                self._waiting_since = None
                if not piece:
                    return
                yield piece
        except (TimeoutError, aiohttp.ClientError) as error:
            # What came is the reader's, but the library's methods raise as soon as there is an error.
            rest = content._read_nowait(-1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            if rest:
                yield rest
            raise self._broken(error) from error
        finally:
            self._drop()

    async def close(self) -> None:
        """Drop the connection, unless the reply was read whole; it may be called again."""
        self._drop()

    def _drop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._response.close()

    def _broken(self, error: Exception) -> BrokenReply | TimedOut:
        if not isinstance(error, TimeoutError):
            msg = f"the reply of {self._host} stopped before its end: {tell(error)}"
            return BrokenReply(msg, billed=True)
        if self._loop.time() >= self._ends_at:
            return _took_too_long(self._host, self._timeouts)
        seconds = self._timeouts.read_seconds
        msg = f"{self._host} was silent for {seconds:g} s in the middle of its reply"
        return TimedOut(msg, billed=True)

    def _look_at(self, instant: float) -> None:
        self._watch = self._loop.call_at(min(instant, self._ends_at), self._look)

    def _look(self) -> None:
        """End a wait that is too long, or look again when it would be: cheaper than a timer each."""
        now = self._loop.time()
        began = now if self._waiting_since is None else self._waiting_since
        silent_at = began + self._timeouts.read_seconds
        if now >= min(silent_at, self._ends_at):
            self._response.content.set_exception(TimeoutError())
        else:
            self._look_at(silent_at)


class Client:
    """Sends requests to one provider or tool; make it inside the event loop that uses it.

    It opens as many connections as there are requests at once: limits belong to the store.

    Args:
        timeouts: See :class:`Timeouts`.
        ca_file: Certificates to trust instead of the system's.
        proxy: An HTTP proxy to go through, as a URL.

    Raises:
        Misconfigured: ``ca_file`` holds no certificates.
    """

    def __init__(
        self, *, timeouts: Timeouts, ca_file: Path | None = None, proxy: str | None = None
    ) -> None:
        self._timeouts = timeouts
        self._proxy = None if proxy is None else URL(proxy)
        self._urls: dict[str, URL] = {}
        self._connector = Connector(_trust(ca_file), timeouts.connect_seconds)

    async def send(
        self, url: str, *, headers: Headers, body: bytes, method: str = "POST"
    ) -> Response:
        """Send a request; return when the reply's headers are here, whatever its status.

        Args:
            url: Sent as it is, nothing of it is normalised.
            headers: Sent in their order, between ``host`` and ``content-length``.
            body: Sent as it is.
            method: The request's method.

        Raises:
            Transient: No connection, and nothing was billed; or the connection died after the
                request had left, and it may have been.
            TimedOut: The same two cases, for want of time.
        """
        target = self._urls.get(url) or self._urls.setdefault(url, URL(url, encoded=True))
        host = target.host_port_subcomponent or url
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeouts.total_seconds
        request = Request(
            method,
            target,
            headers=headers,
            data=io.BytesIO(body) if len(body) > LONG_BODY else body,
            loop=loop,
            timer=NO_TIMER,
            proxy=self._proxy,
        )
        try:
            async with asyncio.timeout(None) as limit:
                connection = await self._connector.reach(request)
                limit.reschedule(min(loop.time() + self._timeouts.first_byte_seconds, ends_at))
                response = await request.reply(connection)
        except TimeoutError as error:
            if loop.time() >= ends_at:
                raise _took_too_long(host, self._timeouts) from error
            seconds = self._timeouts.first_byte_seconds
            msg = f"{host} did not begin to answer within {seconds:g} s"
            raise TimedOut(msg, billed=True) from error
        except (aiohttp.ClientError, OSError) as error:
            msg = f"the connection to {host} died before a reply: {tell(error)}"
            raise Transient(msg, billed=True) from error
        return Response(response, host, timeouts=self._timeouts, ends_at=ends_at)

    async def close(self) -> None:
        """Close every connection, also of replies that are being read."""
        await self._connector.close()


def _took_too_long(host: str, timeouts: Timeouts) -> TimedOut:
    msg = f"{host} had not answered to the end within {timeouts.total_seconds:g} s"
    return TimedOut(msg, billed=True)


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        msg = f"ca_file {ca_file} holds no certificates that can be read: {error}"
        raise Misconfigured(msg) from error

"""Connections of the HTTP library, where it must be told to be careful.

What it does otherwise is in ``docs/decisions/0002-http-client.md``; a test in
``tests/contract/client`` fails for each line here that is taken away.
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict

from callgate.errors import TimedOut, Transient

KEEP_ALIVE_SECONDS: Final = 50.0
"""Less than the 60 seconds after which the usual load balancers drop an idle connection."""

ADDED_BY_LIBRARY: Final[CIMultiDict[None]] = CIMultiDict(
    dict.fromkeys((hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE))
)

reply_limit: ContextVar[tuple[asyncio.Timeout, float]] = ContextVar("reply_limit")
"""The limit of the request that this task sends, which begins once there is a connection, and the
instant of the loop's time at which the whole of it ends."""


class Connector(aiohttp.TCPConnector):
    """Gives connections on which nothing of an earlier exchange can still come.

    What fails here has sent nothing. The library hands out an idle connection without looking
    whether the server has closed it, or has said something that would be taken for the reply.

    Source: https://github.com/aio-libs/aiohttp/issues/13656
    """

    def __init__(
        self, trust: ssl.SSLContext | bool, connect_seconds: float, *, first_byte_seconds: float
    ) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  (an untyped tuple of theirs)
            limit=0, ssl=trust, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=60
        )
        self._connect_seconds = connect_seconds
        self._first_byte_seconds = first_byte_seconds
        self._factory = partial(_make_protocol, self._loop)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (the library's parameter)
    ) -> Connection:
        """Give a connection on which a request may be written."""
        host = req.url.host_port_subcomponent
        try:
            connection = await super().connect(req, traces, timeout)
            while not self._is_fresh(connection):
                connection.close()
                connection = await super().connect(req, traces, timeout)
        except TimeoutError as error:
            msg = f"no connection to {host} within {self._connect_seconds:g} s"
            raise TimedOut(msg, billed=False) from error
        except (aiohttp.ClientError, OSError) as error:
            msg = f"no connection to {host}: {tell(error)}"
            raise Transient(msg, billed=False) from error
        limit, ends_at = reply_limit.get()
        begins_by = asyncio.get_running_loop().time() + self._first_byte_seconds
        limit.reschedule(min(begins_by, ends_at))
        return connection

    def _is_fresh(self, connection: Connection) -> bool:
        protocol = connection.protocol
        return isinstance(protocol, Protocol) and not protocol.should_close and protocol.is_quiet()


class Protocol(ResponseHandler):
    """Ends at once what is given up, and tells a reader at once when a body cannot be read on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._has_input: Callable[[], bool] | None = None

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read; on a new connection nothing is looked for."""
        if self._has_input is None:
            assert self.transport is not None
            self._has_input = _looking(self.transport.get_extra_info("socket").fileno())
            return True
        return not self._has_input()

    def close(self) -> None:
        """Drop the connection; a polite end would first send the rest of a cancelled request."""
        self.abort()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Fail the body too: the library lets its reader wait for ever, with its timer off."""
        body = self._payload
        if exc_cause is None:
            super().set_exception(exc)
        else:
            super().set_exception(exc, exc_cause)
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError(tell(exc)), exc)


class Request(aiohttp.ClientRequest):
    """Has no header that it was not given, and is written at once where its body is in memory.

    The library starts a task for each body, which is there for those that come in pieces.
    """

    _at_once: bytes = b""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add nothing."""
        del skip_auto_headers
        self._skip_auto_headers = ADDED_BY_LIBRARY

    def update_body_from_data(self, body: object, _stacklevel: int = 3) -> None:
        """Keep a body that is to be written at once."""
        if isinstance(body, bytes):
            self._at_once = body
            self.headers[hdrs.CONTENT_LENGTH] = str(len(body))
        else:
            super().update_body_from_data(body, _stacklevel)

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the head, and the body right after it."""
        response = await super().send(conn)
        if self._at_once:
            assert conn.transport is not None
            conn.transport.write(self._at_once)
        return response


def _make_protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return Protocol(loop)


async def ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep the library from repeating a GET: only ``pipeline/retry.py`` retries."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(tell(error)) from error


if sys.platform == "win32":

    def _looking(descriptor: int) -> Callable[[], bool]:
        """Return what tells whether anything waits to be read."""
        return lambda: bool(select.select([descriptor], [], [], 0)[0])

else:

    def _looking(descriptor: int) -> Callable[[], bool]:
        """Return what tells whether anything waits to be read."""
        # Not select() either: it refuses descriptors over 1023.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return lambda: bool(poll.poll(0))


def tell(error: BaseException) -> str:
    """Say what happened without the URL, which may hold a key."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed it"
    if isinstance(error, aiohttp.ClientResponseError):
        return " ".join(error.message.split())
    if isinstance(error, aiohttp.ClientOSError) and not isinstance(
        error, aiohttp.ClientConnectorError
    ):
        return os.strerror(error.errno) if error.errno else type(error).__name__
    return str(error)

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
from contextvars import ContextVar
from functools import partial
from typing import Final
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from callgate.errors import TimedOut, Transient

KEEP_ALIVE_SECONDS: Final = 50.0
"""Less than the 60 seconds after which the usual load balancers drop an idle connection."""

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
        self._known: WeakSet[ResponseHandler] = WeakSet()
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
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or protocol.should_close:
            return False
        if protocol in self._known:
            return not _has_input(transport.get_extra_info("socket").fileno())
        self._known.add(protocol)
        return True


class Protocol(ResponseHandler):
    """Ends at once what is given up, and tells a reader at once when a body cannot be read on."""

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


def _has_input(descriptor: int) -> bool:
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    # Not select() either: it refuses descriptors over 1023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


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

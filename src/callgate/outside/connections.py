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
from functools import partial
from math import inf
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from multidict import CIMultiDict

from callgate.errors import TimedOut, Transient

KEEP_ALIVE_SECONDS: Final = 50.0
"""Less than the 60 seconds after which the usual load balancers drop an idle connection."""

LONGEST_HEADER: Final = 65_536
"""The library's own limit of 8 KB would lose a reply, perhaps a billed one, for one long header."""

HELD_BYTES: Final = 2**18
"""Of a reply that its reader has not taken, when no more is read."""

ADDED_BY_LIBRARY: Final[CIMultiDict[None]] = CIMultiDict(
    dict.fromkeys((hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE))
)

NO_TIMER: Final = TimerNoop()
"""What the library asks in between whether its own time is up, of which none is set."""


class Connector(aiohttp.TCPConnector):
    """Gives connections on which nothing of an earlier exchange can still come.

    What fails here has sent nothing. The library hands out an idle connection without looking
    whether the server has closed it, or has said something that would be taken for the reply.

    Source: https://github.com/aio-libs/aiohttp/issues/13656
    """

    def __init__(self, trust: ssl.SSLContext | bool, connect_seconds: float) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  (an untyped tuple of theirs)
            limit=0, ssl=trust, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=60
        )
        self._connect_seconds = connect_seconds
        # Not sock_read, which would also limit the wait for the headers.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_seconds, ceil_threshold=inf
        )
        self._factory = partial(_make_protocol, self._loop)

    async def reach(self, request: Request) -> Connection:
        """Give a connection on which a request may be written.

        Raises:
            Transient: There is none.
            TimedOut: There was none in time.
        """
        host = request.url.host_port_subcomponent
        try:
            while True:
                connection = await self.connect(request, [], self._timeout)
                protocol = connection.protocol
                if isinstance(protocol, Protocol) and protocol.is_fresh():
                    protocol.expect(has_body=request.method != hdrs.METH_HEAD)
                    return connection
                connection.close()
        except TimeoutError as error:
            msg = f"no connection to {host} within {self._connect_seconds:g} s"
            raise TimedOut(msg, billed=False) from error
        except (aiohttp.ClientError, OSError) as error:
            msg = f"no connection to {host}: {tell(error)}"
            raise Transient(msg, billed=False) from error


class Protocol(ResponseHandler):
    """Ends at once what is given up, and tells a reader at once when a body cannot be read on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._has_input: Callable[[], bool] | None = None

    def is_fresh(self) -> bool:
        """Whether a request may be written: nothing has come of which it would be the reply.

        On a new connection nothing is looked for.
        """
        transport = self.transport
        if transport is None or self.should_close:
            return False
        if self._has_input is None:
            self._has_input = _looking(transport.get_extra_info("socket").fileno())
            return True
        return not self._has_input()

    def expect(self, *, has_body: bool) -> None:
        """Be ready for a reply, as it comes."""
        self.set_response_params(
            timer=NO_TIMER,
            skip_payload=not has_body,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=HELD_BYTES,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )

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
        transport = conn.transport
        if self._at_once and transport is not None:
            transport.write(self._at_once)
        return response

    async def reply(self, connection: Connection) -> aiohttp.ClientResponse:
        """Write the request; return the reply once its headers are here.

        The library's session would do this, with redirects, cookies, retries and timers of its own,
        none of which are wanted, and takes a quarter of a request's CPU for it.
        """
        try:
            response = await self.send(connection)
            try:
                await response.start(connection)
            except BaseException:
                response.close()
                raise
        except BaseException:
            connection.close()
            raise
        return response


def _make_protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return Protocol(loop)


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

"""Carries the messages of MCP over HTTP, and notes what the SDK forgets about each exchange.

The SDK tells a failed exchange by a JSON-RPC error that has lost the status, and lets a connection
that breaks take every other call of the same server with it. Here each exchange has a
:class:`Trip`, and what breaks is an answer like any other.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Final, cast

import httpx2
import msgspec

from callgate.wire.retry_after import retry_after_seconds

CONNECT_SECONDS: Final = 10.0

TO_EACH: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""A call holds its connection until it is answered: how many there may be is for limits to say."""

NEVER_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)

JSON: Final = "application/json"


class Trip(msgspec.Struct, kw_only=True):
    """What has become of the exchanges of one call."""

    is_new: bool = False
    """Whether it is the first with this server, where a failure is nobody else's concern."""
    reached: bool = False
    """Whether anything can have arrived at the server."""
    status: int | None = None
    """What the last exchange was answered with; None if with nothing."""
    retry_after_seconds: float | None = None
    failure: str | None = None
    """What broke, if anything did."""


trip: ContextVar[Trip | None] = ContextVar("trip", default=None)
"""The trip of the call that this task makes; the SDK sends each request in its caller's context."""


def open_client(
    *,
    headers: dict[str, str],
    ca_file: Path | None,
    largest: int,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    """Return a client for one server: bounded, deaf to the environment, without a cookie jar's past.

    Args:
        headers: What is sent with each request.
        ca_file: Certificates to trust besides the usual ones.
        largest: How many bytes a reply may have.
        auth: What adds a token to each request.
    """
    trust = ssl.create_default_context()
    if ca_file is not None:
        trust.load_verify_locations(ca_file)
    return httpx2.AsyncClient(
        # No encoding: how large a reply is must be seen before it is unpacked.
        headers={"user-agent": "callgate", **headers, "accept-encoding": "identity"},
        auth=auth,
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        transport=Carrier(
            httpx2.AsyncHTTPTransport(verify=trust, trust_env=False, limits=TO_EACH), largest
        ),
        trust_env=False,
    )


class Carrier(httpx2.AsyncBaseTransport):
    """Sends requests, notes how it went, and lets no reply be larger than agreed.

    Args:
        inner: What really sends.
        largest: How many bytes a reply may have; an event stream is bounded by the SDK.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, largest: int) -> None:
        self._inner = inner
        self._largest = largest

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; what breaks is told as an answer, unless the connection is new."""
        noted = trip.get() or Trip()
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            noted.reached = noted.reached or not isinstance(error, NEVER_SENT)
            noted.failure = f"{type(error).__name__}: {error}".rstrip(": ")
            if noted.is_new:
                raise
            return _stand_in(request, noted.failure)
        _note(noted, response)
        if noted.is_new and response.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            await response.aclose()
            msg = f"it answered {response.status_code}"
            raise httpx2.RemoteProtocolError(msg, request=request)
        return await self._bounded(request, response, noted)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def _bounded(
        self, request: httpx2.Request, response: httpx2.Response, noted: Trip
    ) -> httpx2.Response:
        """Return a reply that cannot become too large."""
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            noted.failure = f"it answered packed as {encoding}, which was not asked for"
            await response.aclose()
            return _stand_in(request, noted.failure)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return response
        stream = cast("httpx2.AsyncByteStream", response.stream)
        return httpx2.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_Bounded(stream, self._largest, noted),
            extensions=response.extensions,
            request=request,
        )


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends early where it is too large, or breaks: then it is no JSON either."""

    def __init__(self, inner: httpx2.AsyncByteStream, largest: int, noted: Trip) -> None:
        self._inner = inner
        self._largest = largest
        self._noted = noted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what comes, as long as it may."""
        size = 0
        try:
            async for chunk in self._inner:
                size += len(chunk)
                if size > self._largest:
                    self._noted.failure = f"it answered more than {self._largest:,} bytes"
                    return
                yield chunk
        except httpx2.TransportError as error:
            self._noted.failure = f"its reply broke off: {type(error).__name__}"

    async def aclose(self) -> None:
        await self._inner.aclose()


def _note(noted: Trip, response: httpx2.Response) -> None:
    noted.reached = True
    noted.status = response.status_code
    headers = tuple((name.lower(), value) for name, value in response.headers.items())
    noted.retry_after_seconds = retry_after_seconds(headers)


def _stand_in(request: httpx2.Request, said: str) -> httpx2.Response:
    """Return the answer that a broken exchange would have had."""
    error = {"code": -32603, "message": said}
    return httpx2.Response(
        status_code=httpx2.codes.BAD_GATEWAY,
        headers={"content-type": JSON},
        content=msgspec.json.encode({"jsonrpc": "2.0", "id": None, "error": error}),
        request=request,
    )

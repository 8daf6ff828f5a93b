"""The way out: one HTTP client for each provider, that changes nothing and hides nothing.

No redirects, no cookies, no decompression, no retries, no proxy from the environment: what is sent
is what was asked, and what came is what is passed on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from callgate.call import Headers
from callgate.errors import BrokenReply, Misconfigured, TimedOut, Transient

KEEP_ALIVE_SECONDS: Final = 50.0
"""Less than the 60 seconds after which the usual load balancers drop an idle connection."""

SKIPPED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that the library would add by itself."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part of an exchange may take, in seconds."""

    connect_seconds: float
    first_byte_seconds: float
    """From the request to the reply's headers."""
    read_seconds: float
    """The longest silence between two pieces of a reply."""


class Response:
    """A reply whose headers are here; its body comes when it is read."""

    __slots__ = ("_read_seconds", "_response", "_url", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, url: str, read_seconds: float) -> None:
        self._response = response
        self._url = url
        self._read_seconds = read_seconds
        self.status: int = response.status
        self.headers: Headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.raw_headers
        )

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            TimedOut: It was silent for too long.
            BrokenReply: It ended before its end.
        """
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it comes; raises as :meth:`read` does."""
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except TimeoutError as error:
            msg = f"{self._url} was silent for {self._read_seconds:g} s in the middle of its reply"
            raise TimedOut(msg, billed=True) from error
        except aiohttp.ClientError as error:
            msg = f"the reply of {self._url} broke off: {error}"
            raise BrokenReply(msg, billed=True) from error

    async def close(self) -> None:
        """Give the connection back if the reply was read whole; drop it otherwise."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Client:
    """Sends requests to one provider; make it inside the event loop that uses it.

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
        self._proxy = proxy
        self._urls: dict[str, URL] = {}
        connector = aiohttp.TCPConnector(
            limit=0, ssl=_trust(ca_file), keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=60
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=SKIPPED,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=timeouts.connect_seconds,
                sock_read=timeouts.read_seconds,
            ),
            read_bufsize=2**18,
        )

    async def send(
        self, url: str, *, headers: Headers, body: bytes, method: str = "POST"
    ) -> Response:
        """Send a request; return when the reply's headers are here.

        Raises:
            Transient: No connection (nothing was sent), or it died before the reply began.
            TimedOut: No connection, or no reply, in time.
        """
        target = self._urls.get(url) or self._urls.setdefault(url, URL(url, encoded=True))
        try:
            async with asyncio.timeout(self._timeouts.first_byte_seconds):
                response = await self._session.request(
                    method,
                    target,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    proxy=self._proxy,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._unreachable(url, error) from error
        except TimeoutError as error:
            seconds = self._timeouts.first_byte_seconds
            msg = f"{url} did not begin to answer within {seconds:g} s"
            raise TimedOut(msg, billed=True) from error
        except aiohttp.ClientError as error:
            msg = f"the connection to {url} died before a reply: {type(error).__name__} {error}"
            raise Transient(msg, billed=True) from error
        return Response(response, url, self._timeouts.read_seconds)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def _unreachable(self, url: str, error: Exception) -> Transient:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            msg = f"no connection to {url} within {self._timeouts.connect_seconds:g} s"
            return TimedOut(msg, billed=False)
        return Transient(f"no connection to {url}: {error}", billed=False)


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        msg = f"ca_file {ca_file} holds no certificates that can be read: {error}"
        raise Misconfigured(msg) from error

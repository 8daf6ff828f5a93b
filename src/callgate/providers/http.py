"""A provider over HTTP: sends bytes, opens the reply at its first content, meters it as it passes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from callgate.call import Headers, Reply
from callgate.config.policies import ProviderPolicy
from callgate.errors import BrokenReply, Failed, TimedOut, Transient
from callgate.outside.client import Client, Response, Timeouts
from callgate.providers import Outgoing
from callgate.wire import Format, Scanner
from callgate.wire.codec.way_back import STREAM_HEADERS
from callgate.wire.event_stream import CONTENT_TYPE
from callgate.wire.failures import JSON_HEADERS

STAYS = frozenset({
    "connection", "content-length", "date", "keep-alive", "proxy-authenticate", "server",
    "set-cookie", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Reply headers that belong to the connection with the provider, and are not passed on.

Source: RFC 9110 §7.6.1 (hop-by-hop), and cookies, which would be the gate's, not the agent's.
"""


FIRST_ERROR = 400
"""The first status that says no."""

STREAM_TYPES = ("text/event-stream", CONTENT_TYPE)
"""How the types of replies begin that come in pieces."""


class Dialect(Protocol):
    """What an api wants besides its format."""

    async def authenticate(self, outgoing: Outgoing, url: str, /) -> Headers:
        """Return the request's headers, with its credential in the place where this api looks for it.

        Args:
            outgoing: The request; some apis sign its body.
            url: Where it goes.

        Raises:
            Transient: There is none at the moment; nothing was sent.
        """
        ...


class HttpProvider:
    """One provider of the settings."""

    def __init__(self, policy: ProviderPolicy, dialect: Dialect) -> None:
        self._policy = policy
        self._dialect = dialect
        self._client: Client | None = None
        self._open = 0
        self._retired = False

    @asynccontextmanager
    async def open(self, outgoing: Outgoing, /) -> AsyncGenerator[Reply]:
        """Send a request; see :class:`callgate.providers.Provider`."""
        path = outgoing.format.path(model=outgoing.model, stream=outgoing.request.stream)
        url = self._policy.url(path, model=outgoing.model)
        headers = await self._dialect.authenticate(outgoing, url)
        self._open += 1
        response: Response | None = None
        begun_at = asyncio.get_running_loop().time()
        try:
            response = await self._connected().send(url, headers=headers, body=outgoing.body)
            if response.status >= FIRST_ERROR:
                raise await self._failure(outgoing.format, response)
            if outgoing.request.stream and _is_stream(response.headers):
                reply = await self._open_stream(outgoing, response, begun_at=begun_at)
            else:
                reply = await _read_plain(outgoing, response)
            yield reply
        finally:
            if response is not None:
                await response.close()
            self._open -= 1
            if self._retired:
                await self.close()

    async def _open_stream(
        self, outgoing: Outgoing, response: Response, *, begun_at: float
    ) -> Reply:
        """Open a stream; one that says nothing of content is as good as silent."""
        seconds = self._policy.first_token_timeout_seconds
        try:
            async with asyncio.timeout_at(begun_at + seconds):
                return await _open_stream(outgoing, response)
        except TimeoutError as error:
            msg = f"{self._policy.name} had sent no content within {seconds:g} s"
            raise TimedOut(msg, billed=True) from error

    async def close(self) -> None:
        """Close every connection once the replies that are open have ended."""
        self._retired = True
        if self._open == 0 and self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def _connected(self) -> Client:
        """Return the client; a call that still retries after a reload opens it once more."""
        if self._client is None:
            policy = self._policy
            self._client = Client(
                timeouts=Timeouts(
                    connect_seconds=policy.connect_timeout_seconds,
                    first_byte_seconds=policy.first_byte_timeout_seconds,
                    read_seconds=policy.read_timeout_seconds,
                    total_seconds=policy.total_timeout_seconds,
                ),
                ca_file=policy.ca_file,
                proxy=policy.proxy,
            )
        return self._client

    async def _failure(self, format: Format, response: Response) -> Failed:
        try:
            body = _decoded(await response.read(), response.headers)
        except Failed:
            # The status has said no already; half of its explanation does not change that.
            body = b""
        # A date to come back at is reckoned from the reply's own, which is not passed on.
        failure = format.failure(response.status, response.headers, body)
        if failure.answer is not None:
            headers = tuple(
                pair for pair in _passed_on(failure.answer.headers) if pair[0] != "content-encoding"
            )
            failure.answer = msgspec.structs.replace(failure.answer, headers=headers)
        return failure


async def _read_plain(outgoing: Outgoing, response: Response) -> Reply:
    try:
        body = await response.read()
        text = _decoded(body, response.headers)
        outgoing.format.read(text, outgoing.meter)
    except BrokenReply as error:
        raise _nothing_passed_on(error) from error
    headers = _passed_on(response.headers)
    if outgoing.way_back is not None:
        body, headers = outgoing.way_back.reply(text), JSON_HEADERS
    return Reply(status=response.status, headers=headers, body=body, meter=outgoing.meter)


async def _open_stream(outgoing: Outgoing, response: Response) -> Reply:
    """Read up to the first content; until then a failure can still go to another candidate."""
    headers = _passed_on(response.headers)
    reply = Reply(status=response.status, headers=headers, meter=outgoing.meter)
    scanner = outgoing.format.scanner(outgoing.request, reply.meter)
    if outgoing.way_back is not None:
        translating = outgoing.way_back.scanner(scanner)
        scanner, reply.fail, reply.headers = translating, translating.fail, STREAM_HEADERS
    source = response.chunks()
    first: list[bytes] = []
    while not scanner.has_content:
        try:
            chunk = await anext(source, None)
        except BrokenReply as error:
            raise _nothing_passed_on(error) from error
        if chunk is None:
            first.append(scanner.end())
            break
        first.append(scanner.feed(chunk))
    reply.chunks = _relay(b"".join(first), source, scanner)
    return reply


def _nothing_passed_on(error: BrokenReply) -> Transient:
    """Return a break that no reader has seen: it may have been billed, and may be tried again."""
    return Transient(error.message, billed=True)


async def _relay(
    first: bytes, source: AsyncIterator[bytes], scanner: Scanner
) -> AsyncGenerator[bytes]:
    yield first
    async for chunk in source:
        relayed = scanner.feed(chunk)
        if relayed:
            yield relayed
    rest = scanner.end()
    if rest:
        yield rest


def _is_stream(headers: Headers) -> bool:
    kind = next((value for name, value in headers if name == "content-type"), "")
    return kind.lower().startswith(STREAM_TYPES)


def _passed_on(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name not in STAYS)


def _decoded(body: bytes, headers: Headers) -> bytes:
    """Return the text of a reply that came compressed although nobody asked for it."""
    encoding = next((value.lower() for name, value in headers if name == "content-encoding"), "")
    if encoding not in {"gzip", "deflate"}:
        return body
    try:
        return zlib.decompress(body, wbits=zlib.MAX_WBITS | 32)
    except zlib.error as error:
        msg = f"the provider's reply says it is {encoding}, and cannot be unpacked: {error}"
        raise BrokenReply(msg, billed=True) from error

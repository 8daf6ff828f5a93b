"""What the way out costs: CPU of the process for a request, and for a piece of a stream.

The server is a process of its own that answers with bytes made beforehand, so that only the client
is measured; each client runs in a process of its own, threads counted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import cast

import aiohttp
import msgspec
import uvloop
from pyreqwest.client import ClientBuilder

from callgate.call import Headers
from callgate.outside.client import Client, Timeouts

CONNECTIONS = 32
REQUESTS = 12_000
PIECES = 1_000
PACE_SECONDS = 0.01
"""Between two pieces of a paced stream: 3,200 pieces a second in all, which every client follows."""

REQUEST = b'{"prompt":"' + b"x" * 2_034 + b'"}'
REPLY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789\r\n"
    b"date: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-length: 1024\r\n\r\n" + b"y" * 1_024
)
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}],"usage":null}\n\n'
PIECE = f"{len(EVENT):x}\r\n".encode() + EVENT + b"\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
HEADERS: Headers = (
    ("authorization", "Bearer key"),
    ("content-type", "application/json"),
    ("user-agent", "bench"),
)

Post = Callable[[str], Awaitable[bytes]]
"""Sends ``REQUEST`` to a path and gives the whole reply."""
Pieces = Callable[[str], AsyncIterator[bytes]]
"""The same, as the pieces come."""


class Sender(msgspec.Struct, frozen=True):
    """One client under test."""

    post: Post
    pieces: Pieces


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    client: str
    request_us: float
    """CPU of one request and its reply, in microseconds."""
    requests_per_second: float
    paced_us: float
    """CPU of one event that comes alone."""
    burst_us: float
    """CPU of one event of streams that come as fast as they are read."""
    burst_per_second: float
    first_us: float
    """CPU of one request whose connection is new."""


class Server(asyncio.Protocol):
    """Answers by path: a plain reply, a paced stream, a stream in one burst, a reply and the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request once it is here whole."""
        self._seen += data
        if not self._seen.endswith(REQUEST):
            return
        path, self._seen = self._seen.split(b" ", 2)[1], b""
        if path == b"/plain":
            self._transport.write(REPLY)
        elif path == b"/once":
            self._transport.write(REPLY.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
            self._transport.close()
        else:
            self._transport.write(STREAM)
            self._send_pieces(PIECES, paced=path == b"/paced")

    def _send_pieces(self, left: int, *, paced: bool) -> None:
        if not left or self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")
            return
        self._transport.write(PIECE)
        loop = asyncio.get_running_loop()
        loop.call_later(
            PACE_SECONDS if paced else 0, lambda: self._send_pieces(left - 1, paced=paced)
        )


@asynccontextmanager
async def with_aiohttp(origin: str) -> AsyncGenerator[Sender]:
    """Give aiohttp, set to add nothing and hide nothing."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60),
    )

    async def post(path: str) -> bytes:
        async with session.post(origin + path, headers=HEADERS, data=REQUEST) as response:
            return await response.read()

    async def pieces(path: str) -> AsyncIterator[bytes]:
        async with session.post(origin + path, headers=HEADERS, data=REQUEST) as response:
            while piece := await response.content.readany():
                yield piece

    async with session:
        yield Sender(post, pieces)


@asynccontextmanager
async def with_pyreqwest(origin: str) -> AsyncGenerator[Sender]:
    """Give pyreqwest, set to add nothing and hide nothing."""
    builder = ClientBuilder().no_proxy().gzip(False).brotli(False).zstd(False).deflate(False)
    builder = builder.follow_redirects(False).referer(False).http1_lower_case_headers()

    async with builder.build() as client:

        async def post(path: str) -> bytes:
            request = client.post(origin + path).headers(HEADERS).body_bytes(REQUEST)
            async with request.build_streamed() as response:
                return bytes(await response.bytes())

        async def pieces(path: str) -> AsyncIterator[bytes]:
            request = client.post(origin + path).headers(HEADERS).body_bytes(REQUEST)
            # Its default of 64 KB is read before the reply is given at all.
            async with request.streamed_read_buffer_limit(0).build_streamed() as response:
                while (piece := await response.body_reader.read_chunk()) is not None:
                    yield bytes(piece)

        yield Sender(post, pieces)


@asynccontextmanager
async def with_callgate(origin: str) -> AsyncGenerator[Sender]:
    """Give the client that the providers use."""
    client = Client(
        timeouts=Timeouts(
            connect_seconds=5.0, first_byte_seconds=120.0, read_seconds=60.0, total_seconds=3600.0
        )
    )

    async def post(path: str) -> bytes:
        response = await client.send(origin + path, headers=HEADERS, body=REQUEST)
        try:
            return await response.read()
        finally:
            await response.close()

    async def pieces(path: str) -> AsyncIterator[bytes]:
        response = await client.send(origin + path, headers=HEADERS, body=REQUEST)
        try:
            async for piece in response.chunks():
                yield piece
        finally:
            await response.close()

    try:
        yield Sender(post, pieces)
    finally:
        await client.close()


CLIENTS = {"aiohttp": with_aiohttp, "pyreqwest": with_pyreqwest, "callgate": with_callgate}


async def measure(name: str, origin: str) -> Result:
    """Measure one client against the server at ``origin``."""
    async with CLIENTS[name](origin) as sender:

        async def ask(path: str, times: int) -> None:
            for _ in range(times):
                assert len(await sender.post(path)) == 1_024

        async def follow(path: str) -> None:
            length = 0
            async for piece in sender.pieces(path):
                length += len(piece)
            assert length == PIECES * len(EVENT)

        await _timed(lambda: ask("/plain", 20))
        each = REQUESTS // CONNECTIONS
        plain = await _timed(lambda: ask("/plain", each))
        paced = await _timed(lambda: follow("/paced"))
        burst = await _timed(lambda: follow("/burst"))
        once = await _timed(lambda: ask("/once", 40))
    events = CONNECTIONS * PIECES
    return Result(
        client=name,
        request_us=plain[0] / REQUESTS * 1e6,
        requests_per_second=REQUESTS / plain[1],
        paced_us=paced[0] / events * 1e6,
        burst_us=burst[0] / events * 1e6,
        burst_per_second=events / burst[1],
        first_us=once[0] / (CONNECTIONS * 40) * 1e6,
    )


async def _timed(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Do ``work`` on every connection; return CPU and wall seconds of all."""
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return time.process_time() - cpu, time.perf_counter() - wall


async def serve() -> None:
    """Serve until killed; the first line of the output is the origin."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


async def compare() -> list[Result]:
    """Measure every client, one after the other."""
    program = (sys.executable, __file__)
    server = await asyncio.create_subprocess_exec(*program, "serve", stdout=asyncio.subprocess.PIPE)
    results: list[Result] = []
    try:
        assert server.stdout is not None
        origin = (await server.stdout.readline()).decode().strip()
        for name in CLIENTS:
            child = await asyncio.create_subprocess_exec(
                *program, name, origin, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await child.communicate()
            results.append(msgspec.json.decode(output, type=Result))
    finally:
        server.terminate()
        await server.wait()
    return results


def main() -> None:
    """Print the table; with an argument, be the server or one client of it."""
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    elif len(sys.argv) > 1:
        result = uvloop.run(measure(*sys.argv[1:]))
        print(msgspec.json.encode(result).decode())
    else:
        versions = (f"{name} {version(name)}" for name in ("aiohttp", "pyreqwest", "uvloop"))
        print(f"python {sys.version.split()[0]}, " + ", ".join(versions))
        fields = Result.__struct_fields__[1:]
        print(f"{'':10}" + "".join(f"{field:>21}" for field in fields))
        for line in asyncio.run(compare()):
            values = (f"{getattr(line, field):>21.1f}" for field in fields)
            print(f"{line.client:10}" + "".join(values))


if __name__ == "__main__":
    main()

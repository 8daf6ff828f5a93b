"""What stands around a gateway while it is measured: an instant provider, callers, a bare relay.

Each runs in a process of its own, so that the CPU of the gateway is the gateway's alone.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast

import aiohttp
import msgspec
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callgate.doors.server import Server

CONNECTIONS: Final = 32
CHUNKS: Final = 400
"""Chunks of one stream."""

PACE_SECONDS: Final = 0.01
"""Between two chunks of a paced stream, so that each comes alone, as from a model."""

PACED: Final = b'"user":"paced"'

PROMPT: Final = "Compare the ports of Hamburg and Rotterdam in a few words. " * 30
"""About 1.8 KB: a short conversation."""

REPLY: Final = msgspec.json.encode({
    "id": "chatcmpl-0123456789", "object": "chat.completion", "created": 1_767_225_600,
    "model": "gpt-5.5",
    "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Rotterdam moves more than Hamburg. " * 20},
    }],
    "usage": {
        "prompt_tokens": 400, "completion_tokens": 160, "total_tokens": 560,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
})  # fmt: skip

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
PLAIN: Final = HEAD + str(len(REPLY)).encode() + b"\r\n\r\n" + REPLY
STREAM: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _event(choices: str, usage: str) -> bytes:
    text = (
        '{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1767225600,'
        f'"model":"gpt-5.5","choices":{choices},"usage":{usage}}}'
    )
    return b"data: " + text.encode() + b"\n\n"


PIECE: Final = _event('[{"index":0,"delta":{"content":" word"},"finish_reason":null}]', "null")
LAST: Final = (
    _event('[{"index":0,"delta":{},"finish_reason":"stop"}]', "null")
    + _event("[]", '{"prompt_tokens":400,"completion_tokens":1000,"total_tokens":1400}')
    + b"data: [DONE]\n\n"
)


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What the callers saw of one run."""

    requests: int
    failed: int
    wall_seconds: float
    latencies_ms: list[float]
    """Each from the moment it was due, so that waiting in line counts."""


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class Upstream(asyncio.Protocol):
    """A provider that answers at once with bytes made beforehand."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._seen = b""
        self._due = -1

    def data_received(self, data: bytes) -> None:
        """Answer each request once it is here whole."""
        self._seen += data
        if self._due < 0:
            end = self._seen.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._seen[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._due = end + 4 + length
        if len(self._seen) < self._due:
            return
        body, self._seen, self._due = self._seen, b"", -1
        if b'"stream":true' in body:
            self._transport.write(STREAM)
            self._send_pieces(CHUNKS, wait_seconds=PACE_SECONDS if PACED in body else 0.0)
        else:
            self._transport.write(PLAIN)

    def _send_pieces(self, left: int, *, wait_seconds: float) -> None:
        if left and not self._transport.is_closing():
            self._transport.write(_chunk(PIECE))
            later = partial(self._send_pieces, left - 1, wait_seconds=wait_seconds)
            asyncio.get_running_loop().call_later(wait_seconds, later)
        else:
            self._transport.write(_chunk(LAST) + b"0\r\n\r\n")


class Caller(asyncio.Protocol):
    """One connection that sends a request, waits for its whole reply, and tells."""

    def __init__(self) -> None:
        self.lost = False
        self._seen = bytearray()
        self._reply: asyncio.Future[bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits."""
        del exc
        self.lost = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(False)

    async def ask(self, request: bytes) -> bool:
        """Send a request; return whether its reply came whole with a status of 200."""
        self._seen.clear()
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def data_received(self, data: bytes) -> None:
        """Look for the end of the reply."""
        self._seen += data
        if self._reply is None or self._reply.done():
            return
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._seen[:end]).lower()
        if b"transfer-encoding: chunked" in head:
            whole = self._seen.endswith(b"0\r\n\r\n")
        else:
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            whole = len(self._seen) >= end + 4 + length
        if whole:
            self._reply.set_result(head.startswith(b"http/1.1 200"))


Make = Callable[[int], bytes]
"""Returns the n-th request."""


async def closed_loop(origin: str, make: Make, *, requests: int, connections: int) -> Round:
    """Send as fast as answers come, on every connection."""
    callers = [await _connect(origin) for _ in range(connections)]
    numbers = iter(range(requests))
    latencies: list[float] = []
    failed = 0

    async def work(caller: Caller) -> None:
        nonlocal failed
        for number in numbers:
            start = time.perf_counter()
            if not await caller.ask(make(number)):
                failed += 1
                if caller.lost:
                    caller = await _connect(origin)
            latencies.append((time.perf_counter() - start) * 1e3)

    start = time.perf_counter()
    await asyncio.gather(*map(work, callers))
    wall = time.perf_counter() - start
    return Round(requests=requests, failed=failed, wall_seconds=wall, latencies_ms=latencies)


async def open_loop(origin: str, make: Make, *, requests: int, per_second: float) -> Round:
    """Send one request each ``1 / per_second`` seconds, whether or not answers come."""
    idle = [await _connect(origin) for _ in range(CONNECTIONS)]
    latencies: list[float] = []
    failed = 0

    async def one(number: int, due: float) -> None:
        nonlocal failed
        caller = idle.pop() if idle else await _connect(origin)
        failed += not await caller.ask(make(number))
        latencies.append((time.perf_counter() - due) * 1e3)
        idle.append(caller)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(requests):
            due = start + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(number, due))
    wall = time.perf_counter() - start
    return Round(requests=requests, failed=failed, wall_seconds=wall, latencies_ms=latencies)


async def _connect(origin: str) -> Caller:
    host, port = origin.removeprefix("http://").split(":")
    _, caller = await asyncio.get_running_loop().create_connection(Caller, host, int(port))
    return caller


def request_bytes(
    path: str, headers: Sequence[tuple[str, str]], *, stream: bool, user: str = "u1"
) -> bytes:
    """Return a chat request as it is on the wire; ``{n}`` in a header is left to be filled in."""
    body = msgspec.json.encode({
        "model": "gpt-5.5", "max_tokens": 1_000, "stream": stream, "user": user,
        "messages": [{"role": "user", "content": PROMPT}],
    })  # fmt: skip
    lines = [f"POST {path} HTTP/1.1", "host: gate", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def relay(upstream: str) -> None:
    """Relay to ``upstream`` and do nothing else: what the HTTP stack alone costs."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )

    async def pass_on(request: Request) -> Response:
        body = await request.body()
        headers = {"content-type": "application/json", "authorization": "Bearer key"}
        async with session.post(upstream + request.url.path, data=body, headers=headers) as reply:
            return Response(await reply.read(), media_type="application/json")

    app = Starlette(routes=[Route("/v1/chat/completions", pass_on, methods=["POST"])])
    server = Server(app, host="127.0.0.1", port=0)
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


async def upstream() -> None:
    """Serve as the provider until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What callers are asked to do; read from standard input."""

    origin: str
    request: str
    """What each sends; ``{n}`` becomes the number of one of ``tasks`` tasks."""
    requests: int
    tasks: int = 64
    per_second: float | None = None
    """None sends as fast as answers come."""
    connections: int = CONNECTIONS


async def load(asked: Load) -> Round:
    """Do what is asked, and return what was seen."""
    made = [asked.request.replace("{n}", f"{n:04}").encode() for n in range(asked.tasks)]

    def make(number: int) -> bytes:
        return made[number % asked.tasks]

    if asked.per_second is None:
        return await closed_loop(
            asked.origin, make, requests=asked.requests, connections=asked.connections
        )
    return await open_loop(asked.origin, make, requests=asked.requests, per_second=asked.per_second)


def main() -> None:
    """Be one of the peers."""
    match sys.argv[1:]:
        case ["upstream"]:
            uvloop.run(upstream())
        case ["relay", origin]:
            uvloop.run(relay(origin))
        case ["load"]:
            asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
            print(msgspec.json.encode(uvloop.run(load(asked))).decode())
        case _:
            sys.exit("usage: peers.py upstream | relay ORIGIN | load")


if __name__ == "__main__":
    main()

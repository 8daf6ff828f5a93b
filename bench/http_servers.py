"""What the way in costs: CPU of a server for a request, and for a piece of a stream.

Each server runs in a process of its own, threads counted, and answers from memory; the client is a
process that writes requests made beforehand and looks only for the end of each answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import granian.net
import msgspec
import uvicorn
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server import embed
from starlette.types import Receive, Scope, Send

from callgate.doors.server import Server

BACKLOG = 1_024
CONNECTIONS = 32
REQUESTS = 32_000
PIECES = 1_000
STREAMS = 1_000
RUNS = 3
PACE_SECONDS = 0.01
IDLE_SECONDS: Final = 75

BODY = b'{"prompt":"' + b"x" * 2_034 + b'"}'
HEAD = (
    b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nauthorization: Bearer cg_agent_0123456789\r\n"
    b"content-type: application/json\r\naccept: application/json\r\nuser-agent: bench\r\n"
    b"x-stainless-lang: python\r\n%bcontent-length: %d\r\n\r\n"
)
REPLY = b"y" * 1_024
REPLY_HEADERS = [
    (b"content-type", b"application/json"),
    (b"x-request-id", b"req_0123456789"),
    (b"content-length", b"1024"),
]
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}],"usage":null}\n\n'
EVENT_HEADERS = [(b"content-type", b"text/event-stream")]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a server's process says about itself."""

    cpu_seconds: float
    rss_mb: float
    threads: int
    noticed_at: float
    """When a client was last seen to leave, on the machine's monotonic clock."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    server: str
    request_us: float
    """CPU of one request and its answer, in microseconds."""
    requests_per_second: float
    first_us: float
    """CPU of one request whose connection is new."""
    paced_us: float
    """CPU of one event that comes alone."""
    burst_us: float
    """CPU of one event of streams that are sent as fast as they are read."""
    noticed_ms: float
    """From a client's leave in an idle stream until the application is told."""
    stream_kb: float
    """Memory of one idle stream."""
    threads: float
    import_ms: float
    """CPU of the import, beyond asyncio and uvloop."""
    import_mb: float
    """Memory of the import."""


# The applications.

noticed_at = 0.0


def state() -> bytes:
    """Return this process's state."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    told = State(
        cpu_seconds=time.process_time(),
        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        threads=len(os.listdir("/proc/self/task")),  # noqa: PTH208  (a count of names)
        noticed_at=noticed_at,
    )
    return msgspec.json.encode(told)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer by path: a plain reply, a stream in one of three paces, or this process's state."""
    path, more = scope["path"], True
    while more:
        more = (await receive()).get("more_body", False)
    if path == "/plain":
        await send({"type": "http.response.start", "status": 200, "headers": REPLY_HEADERS})
        await send({"type": "http.response.body", "body": REPLY})
    elif path == "/state":
        body = state()
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_HEADERS})
        await stream(path, receive, send)


async def stream(path: str, receive: Receive, send: Send) -> None:
    """Send a stream in the pace that its path names."""
    piece = {"type": "http.response.body", "body": EVENT, "more_body": True}
    if path == "/idle":
        await send(piece)
        while (await receive())["type"] != "http.disconnect":
            pass
        notice()
        return
    for _ in range(PIECES):
        await send(piece)
        await asyncio.sleep(PACE_SECONDS if path == "/paced" else 0)
    await send({"type": "http.response.body", "body": b""})


def notice() -> None:
    """Note that a client was seen to leave."""
    global noticed_at  # noqa: PLW0603  (one process, one server)
    noticed_at = time.monotonic()


class Rsgi:
    """The same for granian's own interface."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer by path."""
        await protocol()
        if scope.path == "/plain":
            headers = [(name.decode(), value.decode()) for name, value in REPLY_HEADERS[:2]]
            protocol.response_bytes(200, headers, REPLY)
        elif scope.path == "/state":
            protocol.response_bytes(200, [], state())
        else:
            transport = protocol.response_stream(200, [("content-type", "text/event-stream")])
            await self._stream(scope.path, protocol, transport)

    async def _stream(self, path: str, protocol: Any, transport: Any) -> None:
        if path == "/idle":
            await transport.send_bytes(EVENT)
            await protocol.client_disconnect()
            notice()
            return
        for _ in range(PIECES):
            await transport.send_bytes(EVENT)
            await asyncio.sleep(PACE_SECONDS if path == "/paced" else 0)


# The servers.


class Uvicorn:
    """uvicorn on httptools, without its own signals and log."""

    url = ""

    async def start(self) -> None:
        """Listen."""
        config = uvicorn.Config(
            cast("Any", answer),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            backlog=BACKLOG,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        listening = listen()
        self.url = origin(listening)
        await server.startup(sockets=[listening])
        self.serving = asyncio.create_task(server.main_loop())


class Granian:
    """granian in this loop, on a socket of ours: by itself two servers may share a port."""

    url = ""

    def __init__(self, app: Any, interface: Interfaces) -> None:
        self._app = app
        self._interface = interface

    async def start(self) -> None:
        """Listen."""
        listening = listen()
        self.url = origin(listening)
        server = embed.Server(
            self._app,
            interface=self._interface,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=100_000,
            log_enabled=False,
            # This limits the idle time of a connection too.
            http1_settings=HTTP1Settings(header_read_timeout=IDLE_SECONDS * 1000),
        )
        holder = cast("Any", granian.net).SocketHolder(listening.detach(), False, BACKLOG)
        parts = cast("Any", server)
        parts._init_shared_socket = lambda: None  # noqa: SLF001
        parts._ssp, parts._shd = None, holder  # noqa: SLF001
        self.serving = asyncio.create_task(server.serve())


SERVERS: dict[str, Callable[[], Any]] = {
    "uvicorn": Uvicorn,
    "granian": lambda: Granian(answer, Interfaces.ASGINL),
    "granian rsgi": lambda: Granian(Rsgi(), Interfaces.RSGI),
    "callgate": lambda: Server(answer, host="127.0.0.1", port=0),
}

MODULES = {
    "uvicorn": "uvicorn, uvicorn.protocols.http.httptools_impl, uvicorn.lifespan.off",
    "granian": "granian.server.embed",
    "granian rsgi": "granian.server.embed",
    "callgate": "callgate.doors.server",
}
IMPORT = """\
import asyncio, sys, time, uvloop
from pathlib import Path
def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])
cpu, memory = time.process_time(), pages()
import {modules}
print(time.process_time() - cpu, pages() - memory)
"""


def listen() -> socket.socket:
    """Listen at a free port."""
    return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)


def origin(listening: socket.socket) -> str:
    """Return the URL of a server."""
    host, port = listening.getsockname()
    return f"http://{host}:{port}"


async def serve(name: str) -> None:
    """Serve until killed; the first line of the output is the origin."""
    server = SERVERS[name]()
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


# The client.


class Caller(asyncio.Protocol):
    """One connection that sends requests made beforehand and waits for the end of each answer."""

    def __init__(self) -> None:
        self._tail = b""
        self._end = b""
        self._came: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Look for the end."""
        self._tail = (self._tail + data)[-4_096:]
        if self._came is not None and self._tail.endswith(self._end):
            came, self._came = self._came, None
            came.set_result(self._tail)

    def ask(self, path: bytes, end: bytes, more: bytes = b"") -> Awaitable[bytes]:
        """Send a request; the result is the last of its answer."""
        self._tail, self._end = b"", end
        self._came = asyncio.get_running_loop().create_future()
        self.transport.write(HEAD % (path, more, len(BODY)) + BODY)
        return self._came


class Bench:
    """Measures one server."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").rpartition(":")
        self._port = int(port)

    async def connect(self) -> Caller:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Caller, self._host, self._port))[1]

    async def state(self) -> State:
        """Ask the server about itself."""
        caller = await self.connect()
        told = await caller.ask(b"/state", b"}")
        caller.transport.close()
        return msgspec.json.decode(told[told.index(b"{") :], type=State)

    async def timed(self, work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
        """Do ``work`` on every connection; return the server's CPU and the time, in seconds."""
        before, since = await self.state(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        taken = time.perf_counter() - since
        return (await self.state()).cpu_seconds - before.cpu_seconds, taken

    async def plain(self, times: int) -> None:
        """Ask for so many plain answers on one connection."""
        caller = await self.connect()
        for _ in range(times):
            await caller.ask(b"/plain", REPLY)
        caller.transport.close()

    async def first(self, times: int) -> None:
        """Ask for so many plain answers on a connection each."""
        for _ in range(times):
            caller = await self.connect()
            await caller.ask(b"/plain", REPLY, b"connection: close\r\n")
            caller.transport.close()

    async def follow(self, path: bytes) -> None:
        """Read a stream to its end."""
        caller = await self.connect()
        await caller.ask(path, b"\r\n0\r\n\r\n")
        caller.transport.close()

    async def idle(self) -> tuple[float, float, int]:
        """Return the memory of an idle stream, when one is seen to end, and the threads."""
        before = await self.state()
        callers = [await self.connect() for _ in range(STREAMS)]
        await asyncio.gather(*(caller.ask(b"/idle", EVENT + b"\r\n") for caller in callers))
        during = await self.state()
        noticed: list[float] = []
        for caller in callers[:10]:
            left_at = time.monotonic()
            caller.transport.close()
            await asyncio.sleep(0.1)
            noticed.append((await self.state()).noticed_at - left_at)
        for caller in callers:
            caller.transport.close()
        memory = (during.rss_mb - before.rss_mb) * 1024 / STREAMS
        return memory, max(noticed) * 1000, during.threads


async def measure(name: str) -> Result:
    """Measure one server."""
    program = (sys.executable, __file__)
    child = await asyncio.create_subprocess_exec(
        *program, "serve", name, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert child.stdout is not None
        bench = Bench((await child.stdout.readline()).decode().strip())
        await bench.timed(lambda: bench.plain(20))
        plain = await bench.timed(lambda: bench.plain(REQUESTS // CONNECTIONS))
        first = await bench.timed(lambda: bench.first(40))
        paced = await bench.timed(lambda: bench.follow(b"/paced"))
        burst = await bench.timed(lambda: bench.follow(b"/burst"))
        stream_kb, noticed_ms, threads = await bench.idle()
    finally:
        child.kill()
        await child.wait()
    import_ms, import_mb = await measure_import(name)
    return Result(
        server=name,
        request_us=plain[0] / REQUESTS * 1e6,
        requests_per_second=REQUESTS / plain[1],
        first_us=first[0] / (CONNECTIONS * 40) * 1e6,
        paced_us=paced[0] / (CONNECTIONS * PIECES) * 1e6,
        burst_us=burst[0] / (CONNECTIONS * PIECES) * 1e6,
        noticed_ms=noticed_ms,
        stream_kb=stream_kb,
        threads=threads,
        import_ms=import_ms,
        import_mb=import_mb,
    )


async def measure_import(name: str) -> tuple[float, float]:
    """Import a server into a new process; return milliseconds of CPU and megabytes."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        IMPORT.format(modules=MODULES[name]),
        stdout=asyncio.subprocess.PIPE,
    )
    seconds, pages = (await child.communicate())[0].split()
    return float(seconds) * 1000, int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def compare() -> list[Result]:
    """Measure every server in turn, several times; return the medians."""
    runs = [[await measure(name) for name in SERVERS] for _ in range(RUNS)]
    fields = Result.__struct_fields__[1:]
    return [
        Result(
            server=name,
            **{
                field: statistics.median(getattr(run[n], field) for run in runs) for field in fields
            },
        )
        for n, name in enumerate(SERVERS)
    ]


def main() -> None:
    """Print the table; with arguments, be a server of it."""
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(sys.argv[2]))
        return
    versions = (f"{name} {version(name)}" for name in ("uvicorn", "granian", "httptools", "uvloop"))
    print(f"python {sys.version.split()[0]}, " + ", ".join(versions))
    results = uvloop.run(compare())
    print(f"{'':22}" + "".join(f"{one.server:>14}" for one in results))
    for field in Result.__struct_fields__[1:]:
        print(f"{field:22}" + "".join(f"{getattr(one, field):>14,.1f}" for one in results))


if __name__ == "__main__":
    main()

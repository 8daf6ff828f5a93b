"""A client that leaves is noticed, and one that does not read holds up nobody but itself."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from callgate.doors.server import Server
from tests.contract.server.visitors import (
    GET,
    SOON,
    Stream,
    Visitor,
    echo,
    end,
    piece,
    post,
    read,
    serving,
    soon,
    start,
    tell,
    trickle,
    visit,
    visiting,
)

Way = Callable[[Visitor], None]
WAYS: list[Way] = [Visitor.leave, Visitor.vanish]
MEGABYTE = b"x" * 1_000_000
FLOOD_PIECES = 50
KERNEL_BYTES = 16_000_000
"""More than the kernel holds for a connection that nobody reads (tcp_wmem and tcp_rmem, tcp(7))."""


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_leaves_an_idle_stream_is_noticed(way: Way) -> None:
    stream = Stream()
    async with visiting(stream) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        way(visitor)
        await soon(stream.left.wait())


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_leaves_before_its_answer_is_noticed(way: Way) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await read(receive)
        asked.set()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with visiting(app) as visitor:
        visitor.send(post(b"slow"))
        await soon(asked.wait())
        way(visitor)
        await soon(left.wait())


@pytest.mark.parametrize("way", WAYS)
async def test_half_a_body_is_not_taken_for_a_whole_one(way: Way) -> None:
    asked, bodies = asyncio.Event(), asyncio.Queue[bytes | None]()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        asked.set()
        bodies.put_nowait(await read(receive))

    async with visiting(app) as visitor:
        visitor.send(post(b"0123456789")[:-5])
        await soon(asked.wait())
        way(visitor)
        async with asyncio.timeout(SOON):
            assert await bodies.get() is None


async def test_a_client_that_asked_for_more_than_one_answer_is_noticed_too() -> None:
    stream = Stream()
    async with visiting(stream) as visitor:
        visitor.send(GET + GET + post(b"x" * 1_000))
        await visitor.hear(b"one")
        visitor.leave()
        await soon(stream.left.wait())


async def test_what_was_asked_by_a_client_that_left_is_not_begun() -> None:
    begun: list[str] = []
    stream = Stream()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await stream(scope, receive, send)

    async with visiting(app) as visitor:
        visitor.send(post(path=b"/one") + post(path=b"/two"))
        await visitor.hear(b"one")
        visitor.leave()
        await soon(stream.over.wait())
    assert begun == ["/one"]


async def test_a_client_that_says_that_it_will_ask_no_more_has_left() -> None:
    stream = Stream()
    async with visiting(stream) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        visitor.say_no_more()
        await soon(stream.left.wait())
        assert await visitor.ended() == b"\r\n"


async def test_a_client_that_leaves_while_its_body_is_not_read_is_noticed() -> None:
    asked, go, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        asked.set()
        await go.wait()
        assert await read(receive) is None
        left.set()

    async with visiting(app) as visitor:
        visitor.send(post(MEGABYTE)[:-1])
        await soon(asked.wait())
        visitor.leave()
        go.set()
        await soon(left.wait())


async def test_what_is_sent_to_a_client_that_left_goes_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    over = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"one")
        while (await receive())["type"] != "http.disconnect":
            pass
        for _ in range(10):
            await piece(send, b"more")
        await end(send)
        over.set()

    async with visiting(app) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        visitor.leave()
        await soon(over.wait())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# A client that does not read.


class Flood:
    """An application that answers ``/flood`` with more than fits, and says how far it got."""

    def __init__(self) -> None:
        self.sent = 0
        self.over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/flood":
            await echo(scope, receive, send)
            return
        await read(receive)
        await start(send)
        for _ in range(FLOOD_PIECES):
            await piece(send, MEGABYTE)
            self.sent += len(MEGABYTE)
        await end(send)
        self.over.set()


async def fill(flooded: Visitor, server: Server) -> None:
    """Ask for the flood, read its head only, and let the server do other things meanwhile."""
    flooded.send(post(path=b"/flood"))
    await flooded.hear(b"\r\n\r\n")
    async with visit(server) as other:
        for _ in range(100):
            await other.ask()


async def test_an_application_waits_for_a_client_that_does_not_read() -> None:
    flood = Flood()
    async with serving(flood) as server, visit(server) as visitor:
        await fill(visitor, server)
        assert flood.sent < KERNEL_BYTES


async def test_a_client_that_reads_on_gets_everything() -> None:
    flood = Flood()
    async with serving(flood) as server, visit(server) as visitor:
        await fill(visitor, server)
        length = 0
        async for one in visitor.pieces():
            length += len(one)
        assert length == FLOOD_PIECES * len(MEGABYTE)


@pytest.mark.parametrize("way", [*WAYS, Visitor.say_no_more])
async def test_a_client_that_leaves_instead_of_reading_is_noticed(way: Way) -> None:
    flood = Flood()
    async with serving(flood) as server, visit(server) as visitor:
        await fill(visitor, server)
        way(visitor)
        await soon(flood.over.wait())


@pytest.mark.parametrize("sends_on", [False, True])
async def test_a_client_that_never_reads_is_given_up(*, sends_on: bool) -> None:
    flood = Flood()
    async with serving(flood, stall_seconds=0.2) as server, visit(server) as visitor:
        visitor.send(post(path=b"/flood") + GET[:-2])
        sending = asyncio.create_task(trickle(visitor)) if sends_on else None
        await soon(flood.over.wait())
        if sending is not None:
            sending.cancel()


async def test_a_client_that_says_no_more_and_never_reads_is_given_up() -> None:
    flood = Flood()
    waits = {"stall_seconds": 0.2, "drain_seconds": 1_000}
    async with serving(flood, **waits) as server, visit(server) as visitor:
        await fill(visitor, server)
        visitor.say_no_more()
        await soon(server.stop())


async def test_the_end_of_an_answer_waits_for_a_slow_client() -> None:
    answer = MEGABYTE * FLOOD_PIECES

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await tell(send, answer, (b"connection", b"close"))

    waits = {"linger_seconds": 0.1, "idle_seconds": 0.1, "head_seconds": 0.2}
    async with serving(app, **waits) as server, visit(server) as visitor, visit(server) as other:
        visitor.send(GET)
        await visitor.hear(b"\r\n\r\n")
        await other.ended()
        assert len(await visitor.ended()) == len(answer)


async def test_a_client_waits_for_an_application_that_does_not_read() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await go.wait()
        await echo(scope, receive, send)

    async with serving(app) as server, visit(server) as visitor, visit(server) as other:
        visitor.send(post(MEGABYTE * FLOOD_PIECES, path=b"/late"))
        for _ in range(100):
            await other.ask()
        unsent = visitor.writer.transport.get_write_buffer_size()
        assert unsent > FLOOD_PIECES * len(MEGABYTE) - KERNEL_BYTES
        go.set()
        assert len((await visitor.answer()).body) == FLOOD_PIECES * len(MEGABYTE) + len(b"/late ")


@pytest.mark.parametrize("ahead", [post(MEGABYTE), GET * 200], ids=["bytes", "requests"])
async def test_who_asks_too_far_ahead_is_answered_and_then_refused(ahead: bytes) -> None:
    stream = Stream()
    async with visiting(stream) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        visitor.send(ahead)
        stream.next.set()
        assert (await visitor.hear(b"0\r\n\r\n")).endswith(b"two\r\n0\r\n\r\n")
        assert b"HTTP/1.1 429 " in await visitor.ended()


async def test_who_asks_too_far_ahead_and_leaves_is_noticed() -> None:
    stream = Stream()
    async with visiting(stream) as visitor:
        visitor.send(GET + post(MEGABYTE))
        await visitor.hear(b"one")
        visitor.leave()
        await soon(stream.left.wait())


# A client whose machine is gone.


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel shows its timers on Linux only")
async def test_the_kernel_asks_a_silent_client_whether_it_is_there() -> None:
    async with visiting(echo) as visitor:
        await visitor.ask()
        ours = visitor.writer.get_extra_info("peername")[1]
        theirs = visitor.writer.get_extra_info("sockname")[1]
        assert timer_of(ours, theirs) == KEEP_ALIVE_TIMER


KEEP_ALIVE_TIMER = "02"


def timer_of(local_port: int, remote_port: int) -> str:
    """Return which timer runs on a connection (proc_net_tcp in the kernel's documentation)."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        ports = [int(address.partition(":")[2], 16) for address in fields[1:3]]
        if ports == [local_port, remote_port]:
            return fields[5].partition(":")[0]
    pytest.fail("there is no such connection")


# Many.


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many files as it may; each stream here has both its ends in it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4_096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_idle_streams_are_served_at_once() -> None:
    stream = Stream()
    async with serving(stream) as server, AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(visit(server)) for _ in range(1_000)]
        for visitor in visitors:
            visitor.send(GET)
        for visitor in visitors:
            await visitor.hear(b"one")
        stream.next.set()
        for visitor in visitors:
            assert (await visitor.hear(b"0\r\n\r\n")).endswith(b"two\r\n0\r\n\r\n")

"""A server starts where nobody listens, and stops without cutting off what can still end well."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from contextlib import AsyncExitStack

import pytest
from starlette.types import Receive, Scope, Send

from callgate.doors.server import Server
from callgate.errors import Misconfigured
from tests.contract.server.visitors import (
    GET,
    SOON,
    Stream,
    echo,
    post,
    read,
    serving,
    soon,
    tell,
    visit,
)

MUCH = 30_000_000

# Starting.


async def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    async with serving(echo) as server:
        port = int(server.url.rpartition(":")[2])
        second = Server(echo, host="127.0.0.1", port=port)
        with pytest.raises(Misconfigured, match=f"cannot listen at 127.0.0.1:{port}: .*--port 0"):
            await second.start()


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"cannot listen at 192\.0\.2\.1:0"):
        await Server(echo, host="192.0.2.1", port=0).start()


async def test_a_port_can_be_used_again_at_once() -> None:
    async with serving(echo) as server, visit(server) as visitor:
        await visitor.ask()
        port = int(server.url.rpartition(":")[2])
        await server.stop()
        second = Server(echo, host="127.0.0.1", port=port)
        await second.start()
        async with visit(second) as again:
            assert (await again.ask()).status == 200
        await second.stop()


async def test_the_signals_of_the_process_stay_with_the_process() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    async with serving(echo):
        assert [signal.getsignal(number) for number in numbers] == before


async def test_an_ipv6_address_is_written_as_urls_write_it() -> None:
    server = Server(echo, host="::1", port=0)
    await server.start()
    assert server.url.startswith("http://[::1]:")
    await server.stop()


# Stopping.


async def test_a_server_that_was_never_started_stops() -> None:
    server = Server(echo, host="127.0.0.1", port=0)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()


async def test_a_stream_in_flight_comes_to_its_end() -> None:
    stream = Stream()
    async with serving(stream) as server, visit(server) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        stopping = asyncio.create_task(server.stop())
        await refused(server)
        stream.next.set()
        assert (await visitor.ended()).endswith(b"two\r\n0\r\n\r\n")
        await soon(stopping)
    assert not stream.cancelled.is_set()


async def test_a_body_in_flight_may_still_arrive() -> None:
    async with serving(echo) as server, visit(server) as visitor:
        visitor.send(post(b"0123456789")[:-5])
        await asyncio.sleep(0)
        stopping = asyncio.create_task(server.stop())
        await refused(server)
        answer = await visitor.ask(b"56789")
        assert (answer.body, answer.header("connection")) == (b"/ 0123456789", "close")
        await soon(stopping)


async def test_a_connection_that_waits_for_nothing_is_closed_at_once() -> None:
    stream = Stream()
    async with serving(stream) as server, AsyncExitStack() as stack:
        busy, idle, silent, halfway = [
            await stack.enter_async_context(visit(server)) for _ in range(4)
        ]
        busy.send(GET)
        await busy.hear(b"one")
        halfway.send(GET[:-5])
        stopping = asyncio.create_task(server.stop())
        for visitor in (idle, silent, halfway):
            assert await visitor.ended() == b""
        assert not stopping.done()
        stream.next.set()
        await soon(stopping)


async def test_a_call_that_outlasts_the_drain_is_cancelled_and_cut() -> None:
    stream = Stream()
    async with serving(stream, drain_seconds=0.1) as server, visit(server) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        await soon(server.stop())
        assert stream.cancelled.is_set()
        assert await visitor.ended() == b"\r\n"


async def test_who_is_in_a_hurry_breaks_off_what_a_stop_waits_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = Stream()
    async with serving(stream) as server, visit(server) as visitor:
        visitor.send(GET)
        await visitor.hear(b"one")
        stopping = asyncio.create_task(server.stop())
        await refused(server)
        server.break_off()
        await soon(stopping)
    assert stream.cancelled.is_set()
    assert caplog.records == []


async def test_who_was_broken_off_is_not_broken_off_again_while_it_settles() -> None:
    stream, begun, settling, go, settled = Stream(), *(asyncio.Event() for _ in range(4))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun.is_set():
            await stream(scope, receive, send)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            settling.set()
            await go.wait()
            settled.set()

    async with serving(app, drain_seconds=0.1) as server, AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(visit(server)) for _ in range(2)]
        one.send(GET)
        await soon(begun.wait())
        server.break_off()
        await soon(settling.wait())
        two.send(GET)
        await two.hear(b"one")
        stopping = asyncio.create_task(server.stop())
        await soon(stream.cancelled.wait())
        go.set()
        await soon(stopping)
    assert settled.is_set()


async def test_a_call_that_will_not_end_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("callgate.doors.server.traffic.SETTLE_SECONDS", 0.1)
    begun, go = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await read(receive)
        begun.set()
        while not go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go.wait()

    async with serving(app, drain_seconds=0.1) as server, visit(server) as visitor:
        visitor.send(GET)
        await soon(begun.wait())
        await soon(server.stop())
        go.set()
    assert [record.message for record in caplog.records] == [
        "1 calls did not end when they were cancelled"
    ]


async def answer_much(_scope: Scope, receive: Receive, send: Send) -> None:
    """Give an answer that is longer than what the kernel holds."""
    await read(receive)
    await tell(send, bytes(MUCH))


async def test_the_end_of_an_answer_still_arrives() -> None:
    async with serving(answer_much) as server, visit(server) as visitor:
        visitor.send(GET)
        await visitor.hear(b"\r\n\r\n")
        stopping = asyncio.create_task(server.stop())
        await refused(server)
        assert len(await visitor.ended()) == MUCH
        await soon(stopping)


async def test_a_client_that_does_not_read_does_not_hold_up_the_end() -> None:
    async with serving(answer_much, drain_seconds=0.1) as server, visit(server) as visitor:
        visitor.send(GET)
        await visitor.hear(b"\r\n\r\n")
        await soon(server.stop())
        assert len(await visitor.ended()) < MUCH


async def test_a_call_that_has_no_answer_yet_is_told_that_the_gate_stops() -> None:
    begun = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await read(receive)
        begun.set()
        await asyncio.Event().wait()

    async with serving(app, drain_seconds=0.1) as server, visit(server) as visitor:
        visitor.send(GET)
        await soon(begun.wait())
        await soon(server.stop())
        assert (await visitor.answer()).status == 503


async def test_stopping_waits_for_what_a_cancelled_call_still_has_to_settle() -> None:
    begun, settled = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await read(receive)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0)
            settled.set()

    async with serving(app, drain_seconds=0.1) as server, visit(server) as visitor:
        visitor.send(GET)
        await soon(begun.wait())
        await soon(server.stop())
        assert settled.is_set()


async def test_stopping_waits_for_a_call_whose_client_has_left() -> None:
    left, go, settled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()
        await go.wait()
        settled.set()

    async with serving(app) as server:
        async with visit(server) as visitor:
            visitor.send(GET)
        await soon(left.wait())
        stopping = asyncio.create_task(server.stop())
        await refused(server)
        assert not stopping.done()
        go.set()
        await soon(stopping)
        assert settled.is_set()


async def test_a_call_that_was_asked_ahead_is_not_begun_while_draining() -> None:
    stream, begun = Stream(), 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await stream(scope, receive, send)

    async with serving(app) as server, visit(server) as visitor:
        visitor.send(GET + GET)
        await visitor.hear(b"one")
        stopping = asyncio.create_task(server.stop())
        await refused(server)
        stream.next.set()
        assert (await visitor.ended()).endswith(b"two\r\n0\r\n\r\n")
        await soon(stopping)
    assert begun == 1


async def refused(server: Server) -> None:
    """Wait until new connections are refused."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                async with visit(server) as visitor:
                    assert await visitor.ended() == b""
            except ConnectionError:
                return

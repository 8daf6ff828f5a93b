"""Who does not speak HTTP, or speaks it to do harm: refused, bounded, and never let through."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from starlette.types import Receive, Scope, Send

from tests.contract.server.visitors import (
    CHUNKED,
    GET,
    SOON,
    chunk,
    echo,
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

HEAD = b"POST / HTTP/1.1\r\nhost: gate\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: gate\r\n\r\n"

MALFORMED = {
    "length and chunks": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456",
    "lengths in a list": HEAD + b"content-length: 5, 6\r\n\r\n123456",
    "negative length": HEAD + b"content-length: -1\r\n\r\n",
    "signed length": HEAD + b"content-length: +5\r\n\r\n12345",
    "hex length": HEAD + b"content-length: 0x5\r\n\r\n12345",
    "length with a space": HEAD + b"content-length: 1 2\r\n\r\n12345",
    "huge length": HEAD + b"content-length: 99999999999999999999\r\n\r\n",
    "unknown coding": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked and more": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD
    + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "tab chunked": HEAD + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "space before colon": HEAD + b"content-length : 5\r\n\r\n12345",
    "folded header": HEAD + b"x-a: b\r\n c: d\r\n\r\n",
    "null in a value": HEAD + b"x-a: b\x00c\r\n\r\n",
    "null in a name": HEAD + b"x\x00a: b\r\n\r\n",
    "bare return": HEAD + b"x-a: b\rc: d\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: gate\n\n",
    "no colon": HEAD + b"nonsense\r\n\r\n",
    "no method": b"/ HTTP/1.1\r\n\r\n",
    "unknown method": b"FROB / HTTP/1.1\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/3.0": b"GET / HTTP/3.0\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "connect": b"CONNECT internal:443 HTTP/1.1\r\nhost: internal:443\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nhost: gate\r\n\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
async def test_what_can_be_read_in_two_ways_is_not_read(request_: bytes) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await echo(scope, receive, send)

    async with visiting(app) as visitor:
        visitor.send(request_ + HIDDEN)
        came = await visitor.ended()
    assert came.startswith(b"HTTP/1.1 400 ")
    assert came.count(b"HTTP/1.1 ") == 1
    assert seen == []


async def test_what_came_before_is_still_answered() -> None:
    async with visiting(echo) as visitor:
        visitor.send(post(b"one") + post(b"two") + b"nonsense\r\n\r\n")
        bodies = [(await visitor.answer()).body for _ in range(2)]
        refusal = await visitor.answer()
        assert await visitor.ended() == b""
    assert bodies == [b"/ one", b"/ two"]
    assert refusal.status == 400


async def test_a_refusal_reads_like_one_of_either_family() -> None:
    async with visiting(echo) as visitor:
        answer = await visitor.ask(b"nonsense\r\n\r\n")
    told = json.loads(answer.body)
    assert (answer.header("content-type"), told["type"]) == ("application/json", "error")
    assert told["error"]["type"] == "invalid_request_error"
    assert "HTTP" in told["error"]["message"]
    assert answer.header("x-should-retry") == "false"


@pytest.mark.parametrize(
    "rest",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"5\r\nhelloX",
        b"fffffffffffffffff\r\n",
        b"5\nhello\n0\n\n",
        b"5;\x00\r\n",
    ],
)
async def test_a_body_whose_framing_breaks_is_never_whole(rest: bytes) -> None:
    bodies: list[bytes | None] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append(await read(receive))
        await tell(send, b"whole" if bodies[0] else b"broken")

    async with visiting(app) as visitor:
        visitor.send(CHUNKED + chunk(b"first") + rest + HIDDEN)
        assert b"whole" not in await visitor.ended()
    assert bodies in ([], [None])


async def test_a_body_that_breaks_under_a_stream_cuts_it_and_says_nothing_else() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"one")
        await read(receive)

    async with visiting(app) as visitor:
        visitor.send(CHUNKED + chunk(b"first"))
        await visitor.hear(b"one\r\n")
        visitor.send(b"nonsense")
        assert await visitor.ended() == b""


async def test_who_goes_on_sending_nonsense_learns_why_it_is_refused() -> None:
    async with visiting(echo) as visitor:
        visitor.send(CHUNKED + b"nonsense" + b"x" * 20_000_000)
        async with asyncio.timeout(SOON):
            await visitor.writer.drain()
        assert (await visitor.answer()).status == 400


async def test_who_stays_after_a_refusal_is_dropped() -> None:
    waits = {"linger_seconds": 0.1, "drain_seconds": 1_000}
    async with serving(echo, **waits) as server, visit(server) as visitor:
        visitor.send(b"nonsense\r\n\r\n")
        await visitor.ended()
        await soon(server.stop())


async def test_what_follows_a_body_is_not_taken_for_a_header() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        scopes.append(scope)
        await tell(send, b"")

    async with visiting(app) as visitor:
        await visitor.ask(CHUNKED + chunk(b"x") + b"0\r\ncallgate-user: admin\r\n\r\n")
        assert (await visitor.ask()).status == 200
    assert b"callgate-user" not in dict(scopes[0]["headers"])


async def test_what_follows_the_last_request_is_not_read() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await echo(scope, receive, send)

    async with visiting(app) as visitor:
        visitor.send(post(headers=b"connection: close\r\n") + HIDDEN + b"\x00\x00")
        assert (await visitor.ended()).startswith(b"HTTP/1.1 200 ")
    assert seen == ["/"]


# Without end.


@pytest.mark.parametrize(
    "opening",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nx-long: ",
        b"GET / HTTP/1.1\r\nx",
        CHUNKED + b"0\r\nx-trailer: ",
        CHUNKED + b"1;x=",
    ],
    ids=["path", "header", "name", "trailer", "chunk"],
)
async def test_a_line_without_end_is_cut_off(opening: bytes) -> None:
    async with visiting(echo) as visitor:
        visitor.send(opening + b"x" * 1_000_000)
        came = await visitor.ended()
        assert came.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


async def test_headers_without_end_are_refused() -> None:
    async with visiting(echo) as visitor:
        visitor.send(b"GET / HTTP/1.1\r\n" + b"x-a: bcd\r\n" * 10_000)
        assert (await visitor.ended()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("size", [8_000, 30_000])
async def test_a_long_header_and_a_long_path_pass(size: int) -> None:
    async with visiting(echo) as visitor:
        path = b"/" + b"p" * size
        answer = await visitor.ask(post(path=path, headers=b"x: " + b"v" * size + b"\r\n"))
        assert answer.body == path + b" "


async def test_many_requests_on_one_connection_are_not_one_long_header() -> None:
    async with visiting(echo) as visitor:
        for _ in range(100):
            visitor.send(post(headers=b"x: " + b"v" * 10_000 + b"\r\n"))
            assert (await visitor.answer()).status == 200


async def test_more_connections_than_there_may_be_are_closed_at_once() -> None:
    async with serving(echo, connections=2) as server, visit(server) as one:
        async with visit(server) as two, visit(server) as three:
            assert await three.ended() == b""
            assert [(await visitor.ask()).status for visitor in (one, two)] == [200, 200]
        assert (await one.ask(post(headers=b"connection: close\r\n"))).status == 200
        assert await one.ended() == b""
        async with visit(server) as four:
            assert (await four.ask()).status == 200


# Without haste.


@pytest.mark.parametrize("opening", [b"", b"GET", GET[:-2]], ids=["nothing", "a word", "a line"])
async def test_a_request_that_does_not_come_is_not_waited_for(opening: bytes) -> None:
    async with visiting(echo, head_seconds=0.1) as visitor:
        visitor.send(opening)
        assert (await visitor.ended()).startswith(b"HTTP/1.1 408 " if opening else b"")


async def test_the_next_request_is_not_waited_for_any_longer() -> None:
    async with visiting(echo, head_seconds=0.1) as visitor:
        await visitor.ask()
        visitor.send(GET[:-2])
        assert (await visitor.ended()).startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_trickles_is_not_waited_for() -> None:
    async with visiting(echo, head_seconds=0.2) as visitor:
        visitor.send(GET[:-2])
        sending = asyncio.create_task(trickle(visitor))
        assert (await visitor.ended()).startswith(b"HTTP/1.1 408 ")
        sending.cancel()


async def test_a_body_that_stops_coming_is_not_waited_for() -> None:
    bodies: list[bytes | None] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        bodies.append(await read(receive))

    async with visiting(app, body_seconds=0.1) as visitor:
        visitor.send(post(b"0123456789")[:-5])
        await visitor.ended()
    assert bodies == [None]


async def test_a_body_that_waits_for_the_application_is_not_late() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await echo(scope, receive, send)

    waits = {"head_seconds": 0.3, "body_seconds": 0.1}
    async with serving(app, **waits) as server, visit(server) as visitor, visit(server) as other:
        visitor.send(post(b"x" * 10_000_000))
        await other.ended()
        go.set()
        assert (await visitor.answer()).status == 200


async def test_a_body_that_nobody_reads_is_not_waited_for() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, b"no", status=413)

    async with visiting(app, body_seconds=0.2) as visitor:
        visitor.send(post(b"x" * 100_000)[:-90_000])
        sending = asyncio.create_task(trickle(visitor))
        assert (await visitor.ended()).startswith(b"HTTP/1.1 413 ")
        sending.cancel()


async def test_a_connection_that_idles_is_closed() -> None:
    async with visiting(echo, idle_seconds=0.1) as visitor:
        await visitor.ask()
        assert await visitor.ended() == b""


async def test_an_answer_may_take_longer_than_any_wait_for_a_client() -> None:
    late = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await late.wait()
        await tell(send, b"late")

    waits = {"head_seconds": 0.2, "idle_seconds": 0.1, "body_seconds": 0.1}
    async with serving(app, **waits) as server, visit(server) as visitor, visit(server) as other:
        visitor.send(post(b"x"))
        await other.ended()
        late.set()
        assert (await visitor.answer()).body == b"late"
        visitor.send(post(b"y"))
        assert (await visitor.answer()).body == b"late"


# Quietly.


async def test_a_stranger_writes_no_line_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(echo) as server:
        for request in MALFORMED.values():
            async with visit(server) as visitor:
                visitor.send(request)
                await visitor.ended()
    assert caplog.records == []

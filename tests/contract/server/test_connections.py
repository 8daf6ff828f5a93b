"""What a connection is good for: one request after the other, also when an answer came early."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextvars import ContextVar

import pytest
from starlette.types import Receive, Scope, Send

from tests.contract.server.visitors import (
    SOON,
    echo,
    post,
    read,
    serving,
    tell,
    visit,
    visiting,
)


async def test_one_connection_serves_requests_that_follow_one_another() -> None:
    async with visiting(echo) as visitor:
        bodies = [(await visitor.ask(post(b"%d" % n))).body for n in range(50)]
    assert bodies == [b"/ %d" % n for n in range(50)]


async def test_requests_that_do_not_wait_for_the_answer_are_answered_in_their_order() -> None:
    running: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.append(1)
        await asyncio.sleep(0)
        assert len(running) == 1
        await echo(scope, receive, send)
        running.pop()

    async with visiting(app) as visitor:
        visitor.send(b"".join(post(b"%d" % n) for n in range(20)))
        bodies = [(await visitor.answer()).body for _ in range(20)]
    assert bodies == [b"/ %d" % n for n in range(20)]


async def test_nothing_of_one_call_is_in_the_context_of_the_next() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(user.get(""))
        user.set("somebody")
        await echo(scope, receive, send)

    user: ContextVar[str] = ContextVar("user")
    async with visiting(app) as visitor:
        visitor.send(post() + post())
        for _ in range(2):
            await visitor.answer()
    assert seen == ["", ""]


async def test_a_client_that_wants_the_end_gets_it_after_its_answer() -> None:
    async with visiting(echo) as visitor:
        answer = await visitor.ask(post(b"last", headers=b"Connection: close\r\n") + post(b"no"))
        assert (answer.body, answer.header("connection")) == (b"/ last", "close")
        assert await visitor.ended() == b""


async def test_an_application_may_end_the_connection() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await tell(send, b"bye", (b"connection", b"close"))

    async with visiting(app) as visitor:
        answer = await visitor.ask()
        assert [pair for pair in answer.headers if pair[0] == "connection"] == [
            ("connection", "close")
        ]
        assert await visitor.ended() == b""


# An answer that comes before the request was read.


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a body unread, as a door does for one that is too large."""
    if scope["path"] == "/large":
        await tell(send, b"too large", status=413)
    else:
        await echo(scope, receive, send)


async def test_the_rest_of_a_body_that_was_refused_is_never_a_request() -> None:
    hidden = post(b"smuggled", path=b"/hidden")
    async with visiting(refuse) as visitor:
        visitor.send(post(hidden * 1_000, path=b"/large")[:-50_000])
        assert (await visitor.answer()).status == 413
        visitor.send(hidden * 1_000)
        assert b"/hidden" not in await visitor.ended()


@pytest.mark.parametrize("size", [100, 100_000])
async def test_a_client_that_sends_its_whole_body_may_ask_again(size: int) -> None:
    async with visiting(refuse) as visitor:
        visitor.send(post(b"x" * size, path=b"/large") + post(b"next"))
        assert (await visitor.answer()).status == 413
        assert (await visitor.answer()).body == b"/ next"


async def test_a_client_that_is_still_sending_gets_its_refusal() -> None:
    body = b"x" * 30_000_000
    async with visiting(refuse) as visitor:
        visitor.send(post(body, path=b"/large"))
        async with asyncio.timeout(SOON):
            await visitor.writer.drain()
        assert (await visitor.answer()).body == b"too large"


async def test_a_client_that_closes_then_and_sends_slowly_gets_its_refusal_too() -> None:
    waits = {"linger_seconds": 0.1, "head_seconds": 0.3}
    async with serving(refuse, **waits) as server, visit(server) as visitor:
        visitor.send(post(bytes(500), path=b"/large", headers=b"connection: close\r\n")[:-500])
        async with visit(server) as other:
            await other.ended()
        for _ in range(10):
            visitor.send(bytes(50))
            async with visit(server) as other:
                await other.ask()
        assert not visitor.writer.is_closing()
        assert (await visitor.answer()).body == b"too large"


async def test_a_body_that_nobody_reads_takes_no_memory() -> None:
    tracemalloc.start()
    async with visiting(refuse) as visitor:
        visitor.send(post(b"x", path=b"/large").replace(b"length: 1\r", b"length: 90000000\r"))
        for _ in range(90):
            visitor.send(bytes(1_000_000))
            await visitor.writer.drain()
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


async def test_a_refusal_instead_of_a_go_ahead_leaves_nothing_to_misread() -> None:
    ask_first = post(b"x" * 100, path=b"/large", headers=b"Expect: 100-continue\r\n")[:-100]
    async with visiting(refuse) as visitor:
        answer = await visitor.ask(ask_first)
        assert (answer.status, answer.header("connection")) == (413, "close")
        assert await visitor.ended() == b""


async def test_a_connection_serves_on_after_an_error_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        await tell(send, body or b"", status=401 if scope["path"] == "/bad" else 200)

    async with visiting(app) as visitor:
        statuses = [(await visitor.ask(post(b"x", path=path))).status for path in (b"/bad", b"/")]
    assert statuses == [401, 200]

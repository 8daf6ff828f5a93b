"""An application that fails, or does not keep to its part, harms no other and never looks well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from tests.contract.server.visitors import (
    GET,
    echo,
    end,
    piece,
    post,
    read,
    serving,
    soon,
    start,
    tell,
    visit,
    visiting,
)

Give = Callable[[Send], Awaitable[None]]


async def test_an_application_that_fails_before_its_answer_is_a_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/bad":
            raise ValueError(scope["path"])
        await echo(scope, receive, send)

    async with serving(app) as server:
        async with visit(server) as visitor:
            answer = await visitor.ask(post(path=b"/bad"))
            assert (answer.status, answer.header("connection")) == (500, "close")
            assert await visitor.ended() == b""
        async with visit(server) as visitor:
            assert (await visitor.ask(post(b"next"))).status == 200


async def test_an_application_that_fails_for_a_client_that_vanished_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send)
        await go.wait()
        raise ValueError(1)

    async with visiting(app) as visitor:
        visitor.send(post(b"0123456789")[:-5])
        await visitor.hear(b"\r\n\r\n")
        visitor.vanish()
        go.set()
    assert [record.message for record in caplog.records] == ["a request to / failed"]


@pytest.mark.parametrize("length", [[], [(b"content-length", b"9")]], ids=["chunked", "length"])
async def test_an_application_that_fails_within_its_answer_never_looks_whole(
    length: list[tuple[bytes, bytes]],
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send, *length)
        await piece(send, b"one")
        raise ValueError(1)

    async with visiting(app) as visitor:
        visitor.send(GET)
        came = await visitor.ended()
    assert b"one" in came
    assert not came.endswith(b"0\r\n\r\n")


async def test_an_answer_that_just_stops_never_looks_whole() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"one")

    async with visiting(app) as visitor:
        visitor.send(GET)
        assert (await visitor.ended()).endswith(b"3\r\none\r\n")


@pytest.mark.parametrize("pieces", [[b"lon"], [b"longer"], [b"lon", b"ger"], [b"longer", b""]])
async def test_an_answer_of_another_length_than_it_says_never_looks_whole(
    pieces: list[bytes],
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send, (b"content-length", b"4"))
        for one in pieces[:-1]:
            await piece(send, one)
        await end(send, pieces[-1])

    async with visiting(app) as visitor:
        visitor.send(GET)
        head, _, sent = (await visitor.ended()).partition(b"\r\n\r\n")
    assert b"content-length: 4" not in head or len(sent) < 4


async def test_an_application_that_starts_its_answer_twice_is_cut_off() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send)
        await start(send)

    async with visiting(app) as visitor:
        visitor.send(GET)
        came = await visitor.ended()
    assert came.count(b"HTTP/1.1 ") == 1
    assert not came.endswith(b"0\r\n\r\n")


async def test_an_application_that_begins_with_a_body_is_a_500() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await end(send, b"HTTP/1.1 200 OK\r\n\r\n")

    async with visiting(app) as visitor:
        visitor.send(GET)
        assert (await visitor.ended()).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("more", [start, end])
async def test_an_application_that_goes_on_after_its_answer_harms_no_other(more: Give) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        if scope["path"] == "/more":
            await more(send)

    async with visiting(app) as visitor:
        visitor.send(post(path=b"/more") + post(b"next"))
        assert [(await visitor.answer()).body for _ in range(2)] == [b"/more ", b"/ next"]
        assert (await visitor.ask(post(b"last"))).body == b"/ last"


async def test_who_waits_for_the_client_to_leave_is_told_when_it_has_its_answer() -> None:
    over = asyncio.Event()

    async def wait(receive: Receive) -> None:
        assert (await receive())["type"] == "http.disconnect"
        over.set()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        watch = asyncio.create_task(wait(receive))
        await asyncio.sleep(0)
        await tell(send, b"done")
        await watch

    async with visiting(app) as visitor:
        await visitor.ask()
        await soon(over.wait())


async def test_an_application_that_does_not_answer_is_a_500() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    async with visiting(app) as visitor:
        assert (await visitor.ask()).status == 500

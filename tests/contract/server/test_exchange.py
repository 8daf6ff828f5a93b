"""What the application is told, and what the client gets back."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tests.contract.server.visitors import (
    CHUNKED,
    GET,
    chunk,
    echo,
    end,
    piece,
    post,
    read,
    soon,
    start,
    tell,
    visiting,
)

# The request.


async def test_the_application_is_told_what_the_client_sent() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    sent = b"Host: gate\r\nX-One: 1\r\nx-two:  caf\xe9 \r\nX-ONE: 2\r\n\r\n"
    async with visiting(app) as visitor:
        await visitor.ask(b"PUT /a%2Fb/%C3%A9?x=1&y=%20 HTTP/1.1\r\n" + sent)
    told = scopes[0]
    assert (told["type"], told["method"], told["http_version"]) == ("http", "PUT", "1.1")
    assert (told["path"], told["raw_path"]) == ("/a/b/é", b"/a%2Fb/%C3%A9")
    assert (told["query_string"], told["scheme"]) == (b"x=1&y=%20", "http")
    assert told["client"][0] == told["server"][0] == "127.0.0.1"
    assert told["headers"] == [
        (b"host", b"gate"),
        (b"x-one", b"1"),
        (b"x-two", b"caf\xe9"),
        (b"x-one", b"2"),
    ]


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000
    async with visiting(echo) as visitor:
        assert (await visitor.ask(post(body))).body == b"/ " + body


async def test_a_chunked_body_arrives_without_its_framing() -> None:
    async with visiting(echo) as visitor:
        answer = await visitor.ask(CHUNKED + chunk(b"one ") + b"3;x=y\r\ntwo\r\n" + chunk(b""))
        assert answer.body == b"/ one two"


async def test_a_request_may_come_byte_by_byte() -> None:
    async with visiting(echo) as visitor:
        for byte in CHUNKED + chunk(b"hello") + chunk(b""):
            visitor.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await visitor.answer()).body == b"/ hello"


async def test_a_body_is_given_out_before_it_is_whole() -> None:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await tell(send, b"%b %r" % (message["body"], b"more" if message["more_body"] else b""))

    async with visiting(app) as visitor:
        answer = await visitor.ask(
            b"POST / HTTP/1.1\r\nhost: gate\r\ncontent-length: 9\r\n\r\nfour"
        )
        assert answer.body.startswith(b"four")


@pytest.mark.parametrize("target", [b"http://gate/v1/x?y=1", b"http://gate:80/v1/x?y=1"])
async def test_a_proxys_way_to_name_a_path_is_understood(target: bytes) -> None:
    async with visiting(echo) as visitor:
        assert (await visitor.ask(post(b"b", path=target))).body == b"/v1/x b"


async def test_a_client_that_asks_first_is_told_to_go_on_once_its_body_is_wanted() -> None:
    wanted = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await wanted.wait()
        await echo(scope, receive, send)

    body = b"x" * 1_000_000
    request = post(body, headers=b"Expect: 100-continue\r\n")
    async with visiting(app) as visitor:
        visitor.send(request[: -len(body)])
        wanted.set()
        assert await visitor.hear(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await visitor.ask(body)).body == b"/ " + body


async def test_a_client_that_asks_and_does_not_wait_is_not_told_to_go_on() -> None:
    async with visiting(echo) as visitor:
        answer = await visitor.ask(post(b"all of it", headers=b"Expect: 100-continue\r\n"))
        assert (answer.status, answer.body) == (200, b"/ all of it")


async def test_an_older_client_is_not_told_to_go_on() -> None:
    asked = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await echo(scope, receive, send)

    async with visiting(app) as visitor:
        visitor.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        await soon(asked.wait())
        assert (await visitor.ask(b"hi")).status == 200


async def test_a_client_that_has_the_head_of_its_answer_is_not_told_to_go_on() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await read(receive)
        await end(send, b"read")

    async with visiting(app) as visitor:
        visitor.send(post(b"late", headers=b"Expect: 100-continue\r\n")[:-4])
        await visitor.hear(b"\r\n\r\n")
        visitor.send(b"late")
        assert await visitor.hear(b"0\r\n\r\n") == b"4\r\nread\r\n0\r\n\r\n"


async def test_a_client_that_would_rather_speak_another_protocol_is_served_in_this_one() -> None:
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with visiting(echo) as visitor:
        visitor.send(post(b"one", headers=wish) + post(b"two", headers=wish) + post(b"three"))
        bodies = [(await visitor.answer()).body for _ in range(3)]
    assert bodies == [b"/ one", b"/ two", b"/ three"]


# The answer.


async def test_an_answer_leaves_as_the_application_gave_it() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await tell(send, b"body", (b"x-b", b"1"), (b"x-a", b"caf\xe9"), (b"x-b", b"2"), status=418)

    async with visiting(app) as visitor:
        answer = await visitor.ask()
    assert (answer.status, answer.version, answer.body) == (418, "HTTP/1.1", b"body")
    assert answer.headers == [
        ("x-b", "1"),
        ("x-a", "café"),
        ("x-b", "2"),
        ("content-length", "4"),
    ]


async def test_a_status_without_a_name_is_sent_all_the_same() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, b"busy", status=529)

    async with visiting(app) as visitor:
        assert (await visitor.ask()).status == 529


async def test_pieces_of_a_stream_leave_as_they_are_given() -> None:
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"one")
        await go.wait()
        await piece(send, b"")
        await end(send, b"two")

    async with visiting(app) as visitor:
        visitor.send(GET)
        await visitor.hear(b"\r\n\r\n")
        pieces = visitor.pieces()
        assert await anext(pieces) == b"one"
        go.set()
        assert [one async for one in pieces] == [b"two"]


async def test_the_head_of_a_stream_leaves_before_its_first_piece() -> None:
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send)
        await go.wait()
        await end(send, b"one")

    async with visiting(app) as visitor:
        visitor.send(GET)
        assert (await visitor.hear(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        go.set()
        assert [one async for one in visitor.pieces()] == [b"one"]


async def test_a_head_is_answered_without_the_body() -> None:
    async with visiting(echo) as visitor:
        visitor.send(b"HEAD /h HTTP/1.1\r\nhost: gate\r\n\r\n")
        answer = await visitor.answer(to_head=True)
        assert answer.header("content-length") == "3"
        assert (await visitor.ask(post(b"next"))).body == b"/ next"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_is_followed_by_the_next_answer(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await echo(scope, receive, send)
            return
        await start(send, status=status)
        await end(send)

    async with visiting(app) as visitor:
        visitor.send(GET)
        assert (await visitor.answer(to_head=True)).status == status
        assert (await visitor.ask(post(b"next"))).body == b"/ next"


@pytest.mark.parametrize("wish", [b"", b"Connection: keep-alive\r\n"], ids=["", "keep-alive"])
async def test_an_older_client_gets_its_stream_without_chunks_up_to_the_end(wish: bytes) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await start(send)
        await piece(send, b"one ")
        await end(send, b"two")

    async with visiting(app) as visitor:
        answer = await visitor.ask(b"GET / HTTP/1.0\r\n" + wish + b"\r\n")
        assert (answer.header("transfer-encoding"), answer.body) == (None, b"one two")
        assert answer.header("connection") == "close"


@pytest.mark.parametrize("wish", [b"", b"Connection: keep-alive\r\n"], ids=["", "keep-alive"])
async def test_an_older_client_gets_a_whole_answer_and_the_end(wish: bytes) -> None:
    async with visiting(echo) as visitor:
        answer = await visitor.ask(b"POST / HTTP/1.0\r\n%bcontent-length: 2\r\n\r\nhi" % wish)
        assert answer.body == b"/ hi"
        assert await visitor.ended() == b""


@pytest.mark.parametrize(
    "header",
    [
        (b"x-bad", b"a\r\nset-cookie: b"),
        (b"x-bad", b"a\nb"),
        (b"x-bad", b"a\x00b"),
        (b"x-bad\r\nset-cookie", b"b"),
        (b"x bad", b"b"),
        (b"", b"b"),
    ],
)
async def test_a_header_that_would_smuggle_another_is_not_sent(header: tuple[bytes, bytes]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, b"secret", header)

    async with visiting(app) as visitor:
        visitor.send(GET)
        came = await visitor.ended()
    assert came.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in came
    assert b"bad" not in came

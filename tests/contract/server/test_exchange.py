"""What the application is told, what the client gets back, and what a connection is good for then."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest
from starlette.types import Receive, Scope, Send

from tests.contract.server.visitors import (
    CHUNKED,
    GET,
    SOON,
    chunk,
    echo,
    end,
    piece,
    post,
    read,
    serving,
    start,
    tell,
    visit,
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


async def test_an_older_client_gets_a_whole_answer_and_the_end() -> None:
    async with visiting(echo) as visitor:
        answer = await visitor.ask(b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nhi")
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


# An application that fails.


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


@pytest.mark.parametrize("body", [b"lon", b"longer"], ids=["shorter", "longer"])
async def test_an_answer_of_another_length_than_it_says_never_looks_whole(body: bytes) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await start(send, (b"content-length", b"4"))
        await end(send, body)

    async with visiting(app) as visitor:
        visitor.send(GET)
        head, _, sent = (await visitor.ended()).partition(b"\r\n\r\n")
    assert b"content-length: 4" not in head or len(sent) < 4


async def test_an_application_that_does_not_answer_is_a_500() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    async with visiting(app) as visitor:
        assert (await visitor.ask()).status == 500


# Connections.


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

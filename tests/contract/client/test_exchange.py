"""What leaves, what comes back, over which connection: the client against real sockets."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path

import pytest

from callgate.errors import Failed, Misconfigured, Transient
from callgate.outside.client import Client
from tests.contract.client.peers import (
    BODY,
    CHUNKED,
    HEADERS,
    Answer,
    ask,
    ask_whole,
    chunk,
    closed_port,
    connect,
    hang_up,
    peer,
    plain,
    reset,
    stall,
    tunnel,
    wait,
)

# What leaves, and what comes back.


async def test_nothing_but_the_connections_own_headers_is_added(client: Client) -> None:
    async with peer([plain(b"")]) as server:
        await ask_whole(client, server.url)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    assert line == b"POST /v1/chat HTTP/1.1"
    assert body == BODY
    added = sorted(
        field.lower() for field in fields if not field.startswith((b"auth", b"content-t"))
    )
    assert added == [b"content-length: 13", b"host: 127.0.0.1:%d" % server.port]
    assert [field for field in fields if field.startswith((b"auth", b"content-t"))] == [
        b"authorization: Bearer k",
        b"content-type: application/json",
    ]


async def test_the_path_and_the_query_leave_as_they_were_written(client: Client) -> None:
    async with peer([plain(b"")]) as server:
        url = f"{server.url}/a%2Fb:c%3Ad//e/../f?x=a+b%20c&y=%7E"
        await ask_whole(client, url)
    assert server.requests[0].startswith(b"POST /v1/chat/a%2Fb:c%3Ad//e/../f?x=a+b%20c&y=%7E HTTP")


async def test_another_method_leaves_without_a_body(client: Client) -> None:
    async with peer([plain(b"models")]) as server:
        response = await client.send(server.url, headers=HEADERS, body=b"", method="GET")
        assert await response.read() == b"models"
    assert server.requests[0].startswith(b"GET /v1/chat HTTP/1.1\r\n")


async def test_a_large_body_arrives_whole(client: Client) -> None:
    body = bytes(range(256)) * 40_000
    async with peer([plain(b"ok")]) as server:
        await client.send(server.url, headers=HEADERS, body=body)
    assert server.requests[0].endswith(body)


async def test_reply_headers_keep_their_order_and_their_duplicates(client: Client) -> None:
    sent = b"X-One: 1\r\nX-Two: a\r\nX-One: 2\r\nX-Two: b\r\nX-Latin: caf\xe9\r\n"
    async with peer([plain(b"", headers=sent)]) as server:
        response = await ask(client, server.url)
    assert response.status == 200
    assert response.headers == (
        ("x-one", "1"),
        ("x-two", "a"),
        ("x-one", "2"),
        ("x-two", "b"),
        ("x-latin", "caf\xe9"),
        ("content-length", "0"),
    )


async def test_a_redirect_is_returned_and_not_followed(client: Client) -> None:
    async with peer([plain(b"", status="307 Moved", headers=b"location: /there\r\n")]) as server:
        response = await ask(client, server.url)
        await response.close()
    assert response.status == 307
    assert ("location", "/there") in response.headers
    assert len(server.requests) == 1


async def test_a_cookie_is_never_sent_back(client: Client) -> None:
    async with peer([plain(b"", headers=b"set-cookie: a=b\r\n")], [plain(b"")]) as server:
        # By its name, since a cookie jar takes nothing from a bare address.
        url = server.url.replace("127.0.0.1", "localhost")
        await ask_whole(client, url)
        await ask_whole(client, url)
    assert b"cookie" not in server.requests[1].lower()


async def test_a_compressed_reply_is_passed_on_compressed(client: Client) -> None:
    packed = gzip.compress(b"hello" * 100)
    async with peer([plain(packed, headers=b"content-encoding: gzip\r\n")]) as server:
        response = await ask(client, server.url)
        assert await response.read() == packed
    assert ("content-encoding", "gzip") in response.headers


async def test_the_proxy_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with connect() as client, peer([plain(b"direct")]) as server:
        assert await ask_whole(client, server.url) == b"direct"


async def test_pieces_arrive_as_they_are_sent(client: Client) -> None:
    go = asyncio.Event()
    async with peer([CHUNKED + chunk(b"one"), wait(go), chunk(b"two") + chunk(b"")]) as server:
        response = await ask(client, server.url)
        pieces = response.chunks()
        assert await anext(pieces) == b"one"
        go.set()
        assert [piece async for piece in pieces] == [b"two"]


# Connections.


async def test_one_connection_serves_requests_that_follow_one_another(client: Client) -> None:
    async with peer(*[[plain(b"%d" % n)] for n in range(50)]) as server:
        assert [await ask_whole(client, server.url) for _ in range(50)] == [
            b"%d" % n for n in range(50)
        ]
    assert len(server.conversations) == 1


async def test_requests_at_once_have_a_connection_each(client: Client) -> None:
    go = asyncio.Event()
    async with peer(*[[wait(go), plain(b"ok")]] * 150) as server:
        asked = [asyncio.create_task(ask_whole(client, server.url)) for _ in range(150)]
        await server.asked(150)
        go.set()
        assert await asyncio.gather(*asked) == [b"ok"] * 150


async def test_a_body_is_read_as_far_as_it_is_wanted(client: Client) -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100
    async with peer([plain(b"1234")], [endless, stall]) as server:
        first = await ask(client, server.url)
        assert await first.read_at_most(4) == b"1234"
        second = await ask(client, server.url)
        assert await second.read_at_most(50) is None
        await server.gone()


async def test_an_error_that_was_read_whole_leaves_the_connection_usable(client: Client) -> None:
    async with peer([plain(b"oh", status="500 Oh")], [plain(b"ok")]) as server:
        assert await ask_whole(client, server.url) == b"oh"
        assert await ask_whole(client, server.url) == b"ok"
    assert len(server.conversations) == 1


async def test_a_connection_that_the_server_closed_while_idle_is_not_used(client: Client) -> None:
    async with peer([plain(b"one"), hang_up], [plain(b"two")]) as server:
        assert await ask_whole(client, server.url) == b"one"
        await server.gone()
        assert await ask_whole(client, server.url) == b"two"
    assert [len(talk.requests) for talk in server.conversations] == [1, 1]


@pytest.mark.parametrize("together", [True, False], ids=["in the same packet", "later"])
async def test_bytes_that_nobody_asked_for_are_never_the_next_reply(
    client: Client, *, together: bool
) -> None:
    read, stale = asyncio.Event(), plain(b"stale", status="408 Request Timeout")
    first: Answer = [plain(b"one") + stale] if together else [plain(b"one"), wait(read), stale]
    async with peer(first, [plain(b"two")]) as server:
        assert await ask_whole(client, server.url) == b"one"
        read.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert await ask_whole(client, server.url) == b"two"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param([CHUNKED + chunk(b"half") + b"5\r\nab", hang_up], id="truncated"),
        pytest.param([CHUNKED + chunk(b"half"), reset], id="reset"),
        pytest.param([hang_up], id="no reply"),
        pytest.param([b"SSH-2.0-OpenSSH\r\n\r\n", stall], id="not http"),
    ],
)
async def test_the_request_after_a_broken_reply_succeeds(client: Client, broken: Answer) -> None:
    async with peer(broken, [plain(b"ok")]) as server:
        with pytest.raises(Failed):
            await ask_whole(client, server.url)
        assert await ask_whole(client, server.url) == b"ok"


async def test_closing_a_reply_early_drops_the_connection(client: Client) -> None:
    async with peer([CHUNKED + chunk(b"some"), stall], [plain(b"ok")]) as server:
        response = await ask(client, server.url)
        await response.close()
        await response.close()
        await server.gone()
        assert await ask_whole(client, server.url) == b"ok"
    assert len(server.conversations) == 2


async def test_closing_the_client_closes_what_is_idle_and_what_is_open() -> None:
    async with peer([plain(b"idle")], [CHUNKED + chunk(b"open"), stall]) as server:
        async with connect() as client:
            first, second = await ask(client, server.url), await ask(client, server.url)
            await first.read()
            await first.close()
            assert await anext(second.chunks()) == b"open"
        await server.gone()


# Trust and proxies.


async def test_a_ca_file_is_trusted(authority: tuple[Path, ssl.SSLContext]) -> None:
    ca_file, context = authority
    async with connect(ca_file=ca_file) as client, peer([plain(b"ok")], context=context) as server:
        assert await ask_whole(client, server.url) == b"ok"


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
async def test_a_ca_file_without_certificates_is_a_mistake(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(Misconfigured, match=r"ca\.pem"):
        async with connect(ca_file=tmp_path / "ca.pem"):
            pass


async def test_a_plain_request_goes_through_the_proxy() -> None:
    async with (
        peer([plain(b"ok")]) as proxy,
        connect(proxy=f"http://127.0.0.1:{proxy.port}") as client,
    ):
        assert await ask_whole(client, "http://provider.invalid/v1") == b"ok"
    assert proxy.requests[0].startswith(b"POST http://provider.invalid/v1 HTTP/1.1\r\n")


async def test_a_secret_request_goes_through_a_tunnel(
    authority: tuple[Path, ssl.SSLContext],
) -> None:
    ca_file, context = authority
    async with (
        peer([plain(b"ok")], context=context) as server,
        tunnel() as proxy,
        connect(ca_file=ca_file, proxy=f"http://127.0.0.1:{proxy.port}") as client,
    ):
        assert await ask_whole(client, server.url) == b"ok"
    assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % server.port)
    assert b"Bearer" not in proxy.requests[0]


@pytest.mark.parametrize(
    "answer", [[plain(b"", status="407 No")], [hang_up], [b"\0\r\n\r\n", hang_up]]
)
async def test_a_proxy_that_opens_no_tunnel_was_not_billed(
    authority: tuple[Path, ssl.SSLContext], answer: Answer
) -> None:
    async with peer(answer) as proxy:
        proxy_url = f"http://127.0.0.1:{proxy.port}"
        async with connect(ca_file=authority[0], proxy=proxy_url) as client:
            with pytest.raises(Transient, match=r"provider\.invalid") as failure:
                await ask(client, "https://provider.invalid/v1")
    assert not failure.value.billed


async def test_a_proxy_that_is_not_there_was_not_billed() -> None:
    async with connect(proxy=f"http://127.0.0.1:{closed_port()}") as client:
        with pytest.raises(Transient, match=r"provider\.invalid") as failure:
            await ask(client, "http://provider.invalid/v1")
    assert not failure.value.billed


async def test_an_interim_reply_is_passed_over(client: Client) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with peer([hints + plain(b"ok")]) as server:
        assert await ask_whole(client, server.url) == b"ok"


async def test_a_reply_with_a_very_long_header_is_not_lost(client: Client) -> None:
    async with peer([plain(b"ok", headers=b"x-long: %b\r\n" % (b"a" * 50_000))]) as server:
        assert await ask_whole(client, server.url) == b"ok"


async def test_a_reply_that_comes_before_the_request_is_whole_is_returned(client: Client) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain(b"too much", status="413 No", headers=b"connection: close\r\n"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        response = await client.send(url, headers=(), body=bytes(30_000_000))
        assert response.status == 413
        assert await response.read() == b"too much"

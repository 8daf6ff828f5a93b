"""Giving up and breaking: the client says what happened, whether it may cost money, and lets go."""

from __future__ import annotations

import asyncio
import socket
import ssl
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from callgate.errors import BrokenReply, Failed, TimedOut, Transient
from callgate.outside.client import Client, Response
from tests.contract.client.peers import (
    BODY,
    CHUNKED,
    HEADERS,
    SOON,
    Answer,
    ask,
    ask_whole,
    chunk,
    closed_port,
    connect,
    hang_up,
    pause,
    peer,
    plain,
    read_until_failure,
    reset,
    stall,
    wait,
)

# Giving up.


async def test_a_cancelled_wait_for_a_reply_closes_the_connection(client: Client) -> None:
    async with peer([stall], [plain(b"ok")]) as server:
        asked = asyncio.create_task(ask(client, server.url))
        await server.asked()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await server.gone()
        assert await ask_whole(client, server.url) == b"ok"


async def test_a_cancelled_reader_closes_the_connection(client: Client) -> None:
    begun = asyncio.Event()

    async def follow(response: Response) -> None:
        async for _ in response.chunks():
            begun.set()

    async with peer([CHUNKED + chunk(b"some"), stall], [plain(b"ok")]) as server:
        reading = asyncio.create_task(follow(await ask(client, server.url)))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.gone()
        assert await ask_whole(client, server.url) == b"ok"


async def test_no_connection_in_time_was_not_billed(authority: tuple[Path, ssl.SSLContext]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/v1"
        async with connect(connect_seconds=SOON, ca_file=authority[0]) as client:
            with pytest.raises(TimedOut, match=r"127\.0\.0\.1.* 0\.1 s") as failure:
                await ask(client, url)
    assert not failure.value.billed


async def test_no_reply_in_time_may_have_been_billed() -> None:
    async with connect(first_byte_seconds=SOON) as client, peer([stall]) as server:
        with pytest.raises(TimedOut, match=r"127\.0\.0\.1.* 0\.1 s") as failure:
            await ask(client, server.url)
        await server.gone()
    assert failure.value.billed


async def test_a_reply_may_take_longer_to_begin_than_its_pieces_may() -> None:
    async with (
        connect(read_seconds=SOON) as client,
        peer([pause(3 * SOON), plain(b"ok")]) as server,
    ):
        assert await ask_whole(client, server.url) == b"ok"


async def test_a_silence_in_the_middle_of_a_reply_may_have_been_billed() -> None:
    steps: Answer = [CHUNKED + chunk(b"some"), stall]
    async with connect(read_seconds=SOON) as client, peer(steps) as server:
        came, failure = await read_until_failure(client, server.url)
        await server.gone()
    assert came == b"some"
    assert isinstance(failure, TimedOut)
    assert failure.billed
    assert "127.0.0.1" in failure.message
    assert "0.1 s" in failure.message


async def test_a_silence_is_seen_after_any_number_of_pieces() -> None:
    steps: Answer = [CHUNKED, *[pause(SOON), chunk(b"x")] * 3, stall]
    async with connect(read_seconds=2 * SOON) as client, peer(steps) as server:
        async with asyncio.timeout(10):
            came, failure = await read_until_failure(client, server.url)
        assert came.startswith(b"x")
    assert isinstance(failure, TimedOut)


async def test_a_reply_may_take_longer_than_any_of_its_silences() -> None:
    steps: Answer = [CHUNKED, *[pause(0.2), chunk(b"x")] * 4, chunk(b"")]
    async with connect(read_seconds=0.6, first_byte_seconds=0.5) as client, peer(steps) as server:
        assert await ask_whole(client, server.url) == b"xxxx"


async def test_a_reply_that_never_ends_is_ended_with_what_came_of_it() -> None:
    steps: Answer = [CHUNKED, *[pause(SOON / 2), chunk(b"x")] * 200]
    async with connect(total_seconds=4 * SOON) as client, peer(steps) as server:
        came, failure = await read_until_failure(client, server.url)
        await server.gone()
    assert came.startswith(b"x")
    assert isinstance(failure, TimedOut)
    assert failure.billed
    assert "to the end within 0.4 s" in failure.message


async def test_a_reply_that_does_not_begin_takes_no_longer_than_all_of_it_may() -> None:
    async with connect(total_seconds=SOON) as client, peer([stall]) as server:
        with pytest.raises(TimedOut, match=r"to the end within 0\.1 s") as failure:
            await ask(client, server.url)
    assert failure.value.billed


# What is said when it breaks.


async def test_a_refused_connection_was_not_billed(client: Client) -> None:
    with pytest.raises(Transient, match=r"127\.0\.0\.1") as failure:
        await ask(client, f"http://127.0.0.1:{closed_port()}/")
    assert not failure.value.billed


async def test_a_name_that_nobody_knows_was_not_billed(client: Client) -> None:
    with pytest.raises(Transient, match=r"nowhere\.invalid") as failure:
        await ask(client, "http://nowhere.invalid/")
    assert not failure.value.billed


async def test_a_certificate_of_nobody_we_trust_was_not_billed(
    client: Client, authority: tuple[Path, ssl.SSLContext]
) -> None:
    async with peer([plain(b"ok")], context=authority[1]) as server:
        with pytest.raises(Transient, match=r"(?i)certificate") as failure:
            await ask(client, server.url)
    assert not failure.value.billed
    assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([hang_up], id="closed"),
        pytest.param([reset], id="reset"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-le", hang_up], id="half of the headers"),
        pytest.param([b"SSH-2.0-OpenSSH\r\n\r\n", stall], id="not http"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("warm", [False, True], ids=["new", "kept alive"])
async def test_a_connection_that_dies_before_the_reply_is_asked_once_and_may_be_billed(
    client: Client, answer: Answer, method: str, *, warm: bool
) -> None:
    answers = [[plain(b"warm")], answer] if warm else [answer]
    async with peer(*answers, [plain(b"second try")]) as server:
        if warm:
            await ask_whole(client, server.url)
        with pytest.raises(Transient, match=r"127\.0\.0\.1") as failure:
            await client.send(server.url, headers=HEADERS, body=BODY, method=method)
        assert failure.value.billed
        assert len(server.requests) == len(answers)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([CHUNKED + chunk(b"some") + b"9\r\nhal", hang_up], id="inside a chunk"),
        pytest.param([CHUNKED + chunk(b"some"), hang_up], id="between chunks"),
        pytest.param([CHUNKED + chunk(b"some") + b"9", hang_up], id="inside a length"),
        pytest.param([CHUNKED + chunk(b"some"), reset], id="reset"),
        pytest.param([CHUNKED + chunk(b"some"), pause(0.02), b"nine\r\n", stall], id="no length"),
        pytest.param([plain(b"some")[:-1], hang_up], id="shorter than promised"),
        pytest.param([CHUNKED + chunk("é".encode()[:1]), hang_up], id="inside a character"),
    ],
)
async def test_a_reply_that_breaks_off_is_broken_and_may_be_billed(
    client: Client, steps: Answer
) -> None:
    async with peer(steps) as server:
        _, failure = await read_until_failure(client, server.url)
    assert isinstance(failure, BrokenReply)
    assert failure.billed
    assert "127.0.0.1" in failure.message


async def test_what_came_before_the_break_is_given_out_first(client: Client) -> None:
    steps: Answer = [CHUNKED + chunk(b"some") + chunk(b"more") + b"9\r\nhal", hang_up]
    async with peer(steps) as server:
        response = await ask(client, server.url)
        await server.gone()
        came = b""
        with pytest.raises(BrokenReply):
            async for piece in response.chunks():
                came += piece
        await response.close()
    assert came.startswith(b"somemore")


@pytest.mark.parametrize(
    "body", [b"data: {}\n\n", "data: é".encode()[:-1], b""], ids=["no end event", "half", "empty"]
)
async def test_a_body_that_ends_properly_is_whole_whatever_it_says(
    client: Client, body: bytes
) -> None:
    answer = CHUNKED + (chunk(body) if body else b"") + chunk(b"")
    async with peer([answer]) as server:
        assert await ask_whole(client, server.url) == body


psutil: Any = import_module("psutil")  # which has no types


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_cancelled_call_lets_go_at_once_of_a_server_that_does_not_listen(
    authority: tuple[Path, ssl.SSLContext], scheme: str
) -> None:
    deaf, done = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        deaf.set()
        await done.wait()
        writer.transport.abort()

    context = authority[1] if scheme == "https" else None
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(ca_file=authority[0]) as client:
            url = f"{scheme}://127.0.0.1:{port}/"
            asked = asyncio.create_task(client.send(url, headers=(), body=bytes(30_000_000)))
            await deaf.wait()
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            for _ in range(10):
                await asyncio.sleep(0)
            ours = psutil.Process().net_connections("tcp")
            done.set()
            assert not [found for found in ours if found.raddr and found.raddr.port == port]


async def test_a_cancelled_handshake_closes_the_connection(client: Client) -> None:
    met, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        await reader.read()
        left.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        asked = asyncio.create_task(ask(client, url))
        await met.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        async with asyncio.timeout(1):
            await left.wait()


async def test_a_server_that_takes_no_request_is_given_up_in_time() -> None:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await done.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with connect(first_byte_seconds=SOON) as client:
            with pytest.raises(TimedOut) as failure:
                await client.send(url, headers=(), body=bytes(30_000_000))
        done.set()
    assert failure.value.billed


async def test_a_slow_reader_is_not_taken_for_a_silent_server() -> None:
    go = asyncio.Event()
    steps: Answer = [CHUNKED + chunk(b"one"), wait(go), chunk(b"two") + chunk(b"")]
    async with connect(read_seconds=SOON) as client, peer(steps) as server:
        pieces = (await ask(client, server.url)).chunks()
        assert await anext(pieces) == b"one"
        await asyncio.sleep(3 * SOON)
        go.set()
        assert [piece async for piece in pieces] == [b"two"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([hang_up], id="closed"),
        pytest.param([reset], id="reset"),
        pytest.param([b"HTTP/1.1 200 OK\r\nx-a", hang_up], id="half of the headers"),
        pytest.param([b"SSH-2.0\r\n\r\n", stall], id="not http"),
        pytest.param([CHUNKED + chunk(b"some"), hang_up], id="half of the body"),
        pytest.param([stall], id="silent"),
    ],
)
async def test_no_message_tells_the_key_of_a_url(answer: Answer) -> None:
    async with connect(first_byte_seconds=SOON) as client, peer(answer) as server:
        with pytest.raises(Failed) as failure:
            await ask_whole(client, f"{server.url}?key=secret")
    assert "secret" not in failure.value.message
    assert f"127.0.0.1:{server.port}" in failure.value.message

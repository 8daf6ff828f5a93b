"""Servers that are elsewhere: what is sent to them, and what their statuses mean."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from callgate.errors import (
    BadCredential,
    BrokenReply,
    Failed,
    Forbidden,
    OutOfCredit,
    RateLimited,
    Transient,
)
from callgate.redact import Secret
from callgate.tools.mcp.toolset import McpToolset
from tests.contract.mcp.conftest import Bench, invocation
from tests.contract.mcp.front import serving
from tests.contract.mcp.peer import Peer
from tests.contract.mcp.test_lists import nothing


class Moody:
    """A server that from a certain moment on answers every request in its own way."""

    def __init__(self) -> None:
        self.mood: dict[str, Any] | None = None

    def __call__(self, _: web.Request) -> web.Response | None:
        return None if self.mood is None else web.Response(**self.mood)


@pytest.fixture
async def moody(http: Bench, stack: AsyncExitStack) -> tuple[McpToolset, Moody]:
    moody = Moody()
    url = await stack.enter_async_context(serving(Peer({"journal": str(http.journal)}), moody))
    toolset = http.toolset(url=url)
    await toolset.ready()
    return toolset, moody


@pytest.mark.parametrize(
    ("status", "kind", "billed"),
    [
        (401, BadCredential, False),
        (402, OutOfCredit, False),
        (403, Forbidden, False),
        (429, RateLimited, False),
        (500, Transient, True),
        (503, Transient, True),
    ],
)
async def test_a_status_says_who_must_act(
    moody: tuple[McpToolset, Moody], status: int, kind: type[Failed], billed: bool
) -> None:
    toolset, server = moody
    server.mood = {"status": status}
    with pytest.raises(kind, match=f"answered {status}") as caught:
        await toolset.call(invocation(toolset, "echo"))
    assert (type(caught.value), caught.value.billed) == (kind, billed)


async def test_a_server_may_say_when_it_takes_calls_again(moody: tuple[McpToolset, Moody]) -> None:
    toolset, server = moody
    server.mood = {"status": 429, "headers": {"retry-after": "7"}}
    with pytest.raises(RateLimited) as caught:
        await toolset.call(invocation(toolset, "echo"))
    assert caught.value.retry_after_seconds == 7.0


@pytest.mark.parametrize("body", ["{", '{"jsonrpc": "2.0", "id": 1', "x" * 17_000_000])
async def test_a_body_that_cannot_be_read_is_a_broken_reply(
    moody: tuple[McpToolset, Moody], body: str
) -> None:
    toolset, server = moody
    server.mood = {"text": body, "content_type": "application/json"}
    with pytest.raises(BrokenReply) as caught:
        await toolset.call(invocation(toolset, "echo"))
    assert caught.value.billed


async def test_a_packed_body_is_not_unpacked(moody: tuple[McpToolset, Moody]) -> None:
    toolset, server = moody
    server.mood = {"body": b"", "headers": {"content-encoding": "gzip"}}
    with pytest.raises(BrokenReply, match="packed as gzip, which was not asked for"):
        await toolset.call(invocation(toolset, "echo"))


async def test_a_server_that_is_away_has_got_nothing(http: Bench) -> None:
    async with serving(Peer({})) as url:
        toolset = http.toolset(url=url)
        await toolset.ready()
    with pytest.raises(Transient, match="nothing was sent") as caught:
        await toolset.call(invocation(toolset, "echo"))
    assert not caught.value.billed


async def test_calls_under_way_outlive_one_that_breaks(http: Bench, stack: AsyncExitStack) -> None:
    hung_up: list[bool] = []

    def answer(request: web.Request) -> web.Response | None:
        if request.headers.get("mcp-name") == "env":
            hung_up.append(True)
            assert request.transport is not None
            request.transport.abort()
        return None

    url = await stack.enter_async_context(serving(Peer({}), answer))
    toolset = http.toolset(url=url)
    await toolset.ready()
    other = asyncio.create_task(toolset.call(invocation(toolset, "slow", seconds=0.3)))
    with pytest.raises(Transient) as caught:
        await toolset.call(invocation(toolset, "env"))
    assert caught.value.billed
    assert (await other).text == "slept"
    assert hung_up


async def test_a_server_that_is_not_there_yet_is_found_later(http: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        toolset = http.toolset(url=f"http://127.0.0.1:{taken.getsockname()[1]}/mcp")
        await toolset.ready()
        with pytest.raises(
            Transient, match="cannot be reached: All connection attempts failed"
        ) as caught:
            await toolset.call(nothing())
    assert not caught.value.billed


async def test_a_key_that_the_server_rejects_from_the_start_is_told(
    http: Bench, stack: AsyncExitStack
) -> None:
    server = Moody()
    server.mood = {"status": 401}
    url = await stack.enter_async_context(serving(Peer({}), server))
    toolset = http.toolset(url=url)
    await toolset.ready()
    with pytest.raises(BadCredential, match="does not take the credential"):
        await toolset.call(nothing())


async def test_the_key_and_the_headers_of_the_settings_are_sent(http: Bench) -> None:
    http.environ["KEY"] = "k-0123456789"
    await http.connect(key="env:KEY", headers={"x-tenant": "t1"})
    assert set(http.noted()) >= {"authorization Bearer k-0123456789"}


async def test_each_credential_has_a_connection_of_its_own(http: Bench) -> None:
    http.environ["KEY"] = "k-0123456789"
    toolset = await http.connect(key="env:KEY")
    for key in ("k-another-9876", "k-0123456789", "k-another-9876"):
        await toolset.call(invocation(toolset, "echo", text="x", credential=Secret(key)))
    keys = {line for line in http.noted() if line.startswith("authorization")}
    assert keys == {f"authorization Bearer {key}" for key in ("k-0123456789", "k-another-9876")}
    assert [state.starts for state in toolset.states] == [1, 1]


async def test_of_many_credentials_the_oldest_connection_is_let_go(http: Bench) -> None:
    toolset = await http.connect()
    for n in range(20):
        await toolset.call(invocation(toolset, "echo", text="x", credential=Secret(f"k-{n:08}")))
    assert len(toolset.states) == 8


async def test_a_session_that_the_server_forgot_is_begun_anew(
    stack: AsyncExitStack, http: Bench
) -> None:
    peer = Peer({"legacy": True})
    url = await stack.enter_async_context(serving(peer))
    toolset = http.toolset(url=url)
    await toolset.ready()
    peer.sessions.clear()
    with pytest.raises(Transient, match="forgotten its session") as caught:
        await toolset.call(invocation(toolset, "echo"))
    assert not caught.value.billed
    assert (await toolset.call(invocation(toolset, "echo", text="again"))).text == "again"


async def test_nothing_of_the_environment_changes_where_a_request_goes(
    http: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    toolset = await http.connect()
    assert (await toolset.call(invocation(toolset, "echo", text="x"))).text == "x"


async def test_an_argument_that_a_server_wants_as_a_header_goes_there_too(http: Bench) -> None:
    toolset = await http.connect()
    await toolset.call(invocation(toolset, "placed", region="eu"))
    assert "region eu" in http.noted()

"""Servers that want tokens: a person agrees once, and the gate renews them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callgate.config.mcp_policies import OAuthPolicy
from callgate.errors import BadCredential, Misconfigured
from callgate.tools.mcp.toolset import McpToolset
from tests.contract.mcp.authority import Authority, guarded
from tests.contract.mcp.conftest import Bench, invocation
from tests.contract.mcp.test_lists import nothing


class Guarded:
    """A server behind an authorization server, and the gate's side of it."""

    def __init__(self, bench: Bench, authority: Authority, url: str) -> None:
        self.bench = bench
        self.authority = authority
        self._url = url

    def toolset(self, **oauth: Any) -> McpToolset:
        return self.bench.toolset(url=self._url, oauth=OAuthPolicy(**oauth))

    @property
    def file(self) -> Path:
        (file,) = (self.bench.folder / ".local/state/callgate/mcp").iterdir()
        return file

    def edit(self, **changes: Any) -> None:
        """Change what is kept."""
        self.file.write_text(json.dumps({**json.loads(self.file.read_text()), **changes}))


@pytest.fixture
async def server(http: Bench) -> AsyncIterator[Guarded]:
    authority = Authority()
    async with guarded(authority) as url:
        yield Guarded(http, authority, url)


async def browse(url: str) -> None:
    """Do what a person does who agrees: follow where the browser is sent."""
    async with aiohttp.ClientSession() as browser, browser.get(url) as reply:
        assert reply.status == 200


async def test_without_a_login_an_operator_is_told_what_to_do(server: Guarded) -> None:
    toolset = server.toolset()
    await toolset.ready()
    with pytest.raises(BadCredential, match="callgate mcp login peer gets one"):
        await toolset.call(nothing())
    assert server.authority.clients == {}


async def test_once_a_person_has_agreed_the_gate_may_call(server: Guarded) -> None:
    listing = await server.toolset().log_in(browse)
    toolset = server.toolset()
    await toolset.ready()
    assert len(listing.definitions) == len(toolset.tools())
    assert (
        await toolset.call(invocation(toolset, "echo", text="with a token"))
    ).text == "with a token"
    assert server.authority.asked == ["authorization_code"]


async def test_tokens_are_kept_where_only_their_owner_reads_them(server: Guarded) -> None:
    await server.toolset().log_in(browse)
    assert server.file.stat().st_mode & 0o777 == 0o600
    assert server.file.parent.stat().st_mode & 0o077 == 0


async def test_a_token_that_has_ended_is_renewed_without_anybody(server: Guarded) -> None:
    await server.toolset().log_in(browse)
    server.edit(expires_at=1.0)
    server.authority.live.clear()
    toolset = server.toolset()
    await toolset.ready()
    assert (await toolset.call(invocation(toolset, "echo", text="again"))).text == "again"
    assert server.authority.asked == ["authorization_code", "refresh_token"]


async def test_the_token_that_comes_next_is_kept_too(server: Guarded) -> None:
    await server.toolset().log_in(browse)
    server.edit(expires_at=1.0)
    for _ in range(2):
        toolset = server.toolset()
        await toolset.ready()
        await toolset.close()
    assert server.authority.asked == ["authorization_code", "refresh_token"]


async def test_a_token_that_was_taken_back_needs_a_person_again(server: Guarded) -> None:
    await server.toolset().log_in(browse)
    server.authority.live.clear()
    toolset = server.toolset()
    await toolset.ready()
    with pytest.raises(BadCredential, match="callgate mcp login peer gets one"):
        await toolset.call(nothing())


async def test_who_does_not_agree_gets_no_token(server: Guarded) -> None:
    server.authority.agrees = False
    with pytest.raises(ExceptionGroup):
        await server.toolset().log_in(browse)
    assert not (server.bench.folder / ".local").exists()


async def test_a_gate_with_a_credential_of_its_own_asks_nobody(server: Guarded) -> None:
    server.bench.environ["SECRET"] = "s3cret-of-the-gate"
    toolset = server.toolset(
        grant="client_credentials", client_id="gate", client_secret="env:SECRET", issuer=f"{server.authority.url}/as"
    )  # fmt: skip
    await toolset.ready()
    assert (await toolset.call(invocation(toolset, "echo", text="alone"))).text == "alone"
    assert server.authority.asked == ["client_credentials"]


async def test_a_credential_is_shown_to_its_own_authority_only(server: Guarded) -> None:
    server.bench.environ["SECRET"] = "s3cret-of-the-gate"
    toolset = server.toolset(
        grant="client_credentials", client_id="gate", client_secret="env:SECRET", issuer="https://other.example"
    )  # fmt: skip
    await toolset.ready()
    with pytest.raises(BadCredential):
        await toolset.call(nothing())
    assert server.authority.asked == []


async def test_nobody_logs_in_where_the_gate_has_a_credential(http: Bench) -> None:
    toolset = http.toolset(url="http://127.0.0.1:1/mcp", oauth=None)
    with pytest.raises(Misconfigured, match="nobody logs in to peer"):
        await toolset.log_in(browse)

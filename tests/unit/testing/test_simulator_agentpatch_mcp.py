"""The official client of MCP finds AgentPatch's four tools in the simulator, over the same accounts."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp
import pytest
from mcp.client.streamable_http import streamable_http_client

from callgate.testing import FakeClock
from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import exchange, request
from tests.unit.testing.test_simulator_agentpatch import KEY, RESEARCH, SEARCH


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    script = {"platform": {"accounts": {KEY: 1000}, "tools": [SEARCH, RESEARCH]}}
    async with Simulator(script, clock=FakeClock()) as simulator:
        yield simulator


@asynccontextmanager
async def connected(sim: Simulator) -> AsyncGenerator[mcp.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        transport = streamable_http_client(f"{sim.url}/mcp", http_client=http)
        async with mcp.Client(transport) as client:
            yield client


async def said(client: mcp.Client, name: str, **arguments: Any) -> tuple[Any, bool]:
    result: Any = await client.call_tool(name, arguments)
    return json.loads(result.content[0].text), bool(result.is_error)


async def test_it_lists_the_four_tools(sim: Simulator) -> None:
    async with connected(sim) as client:
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == [
            "search_tools", "get_tool_details", "invoke_tool", "get_job_status",
        ]  # fmt: skip


async def test_a_tool_is_found_called_and_paid_for(sim: Simulator) -> None:
    async with connected(sim) as client:
        found, _ = await said(client, "search_tools", query="google")
        slug = found["tools"][0]["slug"]
        tool, _ = await said(client, "get_tool_details", username="agentpatch", slug=slug)
        assert tool["price_credits_per_call"] == 50
        asked = {"username": "agentpatch", "slug": slug, "input": {"query": "Italy"}}
        told, is_error = await said(client, "invoke_tool", **asked)
        assert (told["output"], told["credits_remaining"]) == ({"results": ["Rome"]}, 950)
        assert not is_error
        assert sim.bill().total_nano_usd == 5_000_000


async def test_a_job_is_asked_for(sim: Simulator) -> None:
    async with connected(sim) as client:
        begun, _ = await said(
            client, "invoke_tool", username="agentpatch", slug="research", input={}
        )
        job, _ = await said(client, "get_job_status", job_id=begun["job_id"])
        assert (job["status"], job["credits_remaining"]) == ("success", 200)


async def test_an_error_is_what_a_tool_says(sim: Simulator) -> None:
    async with connected(sim) as client:
        told = await said(client, "invoke_tool", username="agentpatch", slug="nothing", input={})
        assert told == ({"error": "Tool not found"}, True)


async def test_without_a_key_nobody_is_let_in(sim: Simulator) -> None:
    asking = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    headers = {"connection": "close", "authorization": "Bearer nobody_at_all"}
    assert (await exchange(sim, request("/mcp", asking, headers=headers))).status == 401
    assert (await exchange(sim, request("/mcp", b"", method="GET", headers=headers))).status == 405

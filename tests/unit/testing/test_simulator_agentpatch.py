"""AgentPatch's own client, unmodified, finds in the simulator what it expects of the platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from agentpatch import AgentPatch, AgentPatchError

from callgate.testing import FakeClock
from callgate.testing.simulator import Simulator

KEY = "ap_ann_0123456789"
SEARCH = {
    "slug": "google-search",
    "description": "Searches the web.",
    "price_credits": 50,
    "input_schema": {"type": "object", "required": ["query"]},
    "steps": [{"output": {"results": ["Rome"]}}],
}
RESEARCH = {"slug": "research", "price_credits": 800, "mode": "async"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    script = {"platform": {"accounts": {KEY: 1000}, "tools": [SEARCH, RESEARCH]}}
    async with Simulator(script, clock=FakeClock()) as simulator:
        yield simulator


async def ask(sim: Simulator, asking: Callable[[AgentPatch], dict[str, Any]]) -> dict[str, Any]:
    """Let the client ask, beside the loop that the simulator runs in."""
    with AgentPatch(api_key=KEY, base_url=sim.url) as client:
        return await asyncio.to_thread(asking, client)


async def test_it_finds_a_tool_and_reads_what_it_takes(sim: Simulator) -> None:
    found = await ask(sim, lambda client: client.search("web", max_price_credits=100))
    assert [tool["slug"] for tool in found["tools"]] == ["google-search"]
    tool = await ask(sim, lambda client: client.get_tool("agentpatch", "google-search"))
    assert (tool["price_credits_per_call"], tool["input_schema"]) == (50, SEARCH["input_schema"])


async def test_it_calls_a_tool_and_reads_what_it_cost(sim: Simulator) -> None:
    told = await ask(
        sim, lambda client: client.invoke("agentpatch", "google-search", {"query": "Italy"})
    )
    assert (told["status"], told["output"]) == ("success", {"results": ["Rome"]})
    assert (told["credits_used"], told["credits_remaining"]) == (50, 950)


async def test_it_follows_a_job_to_its_end(sim: Simulator) -> None:
    job = await ask(
        sim, lambda client: client.invoke("agentpatch", "research", {}, poll_interval=0.01)
    )
    assert (job["status"], job["credits_used"], job["credits_remaining"]) == ("success", 800, 200)


@pytest.mark.parametrize(
    ("slug", "body", "status", "words"),
    [
        ("nothing", {}, 404, "Tool not found"),
        ("google-search", {}, 400, "Invalid input"),
        ("research", {}, 402, "Insufficient credits"),
    ],
)
async def test_it_reads_why_it_is_refused(
    sim: Simulator, slug: str, body: dict[str, Any], status: int, words: str
) -> None:
    await ask(sim, lambda client: client.invoke("agentpatch", "research", {}, poll=False))
    with pytest.raises(AgentPatchError, match=words) as refused:
        await ask(sim, lambda client: client.invoke("agentpatch", slug, body))
    assert refused.value.status_code == status

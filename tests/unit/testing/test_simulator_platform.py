"""The platform of the simulator: credits are reserved, settled and refunded as AgentPatch says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from callgate.testing.simulator.clock import SteppedClock
from tests.unit.testing.raw_client import Answered, control, exchange, request

ANN, BOB = "ap_ann_0123456789", "ap_bob_9876543210"
SEARCH = {
    "slug": "google-search",
    "price_credits": 50,
    "input_schema": {"type": "object", "required": ["q"]},
}
RESEARCH = {"slug": "research", "price_credits": 800, "mode": "async", "steps": [{"seconds": 12}]}


def script(*tools: dict[str, Any], credits: int = 1000) -> dict[str, Any]:
    accounts = {ANN: credits, BOB: 0}
    return {"platform": {"accounts": accounts, "tools": list(tools)}}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(script(SEARCH, RESEARCH), clock=SteppedClock()) as simulator:
        yield simulator


async def ask(
    sim: Simulator, method: str, path: str, body: object = None, *, key: str | None = ANN
) -> Answered:
    headers = {"connection": "close", "authorization": f"Bearer {key}" if key else ""}
    data = b"" if body is None else json.dumps(body).encode()
    return await exchange(sim, request(path, data, method=method, headers=headers))


async def call(sim: Simulator, slug: str = "google-search", **fields: Any) -> Answered:
    query = fields.pop("query", "")
    body = fields.pop("body", {"q": "Rome"})
    return await ask(sim, "POST", f"/api/tools/agentpatch/{slug}{query}", body, **fields)


def break_search(sim: Simulator, fault: dict[str, Any]) -> None:
    sim.play(script({**SEARCH, "steps": [{"fault": fault}]}))


def moved(sim: Simulator) -> list[tuple[str, int, int]]:
    return [(each.kind, each.credits, each.balance) for each in sim.credits().movements]


async def test_a_search_finds_tools_by_words_and_price(sim: Simulator) -> None:
    found = (await ask(sim, "GET", "/api/search?q=search&max_price_credits=50")).json()
    assert [tool["slug"] for tool in found["tools"]] == ["google-search"]
    assert found["count"] == 1
    assert found["tools"][0]["price_credits_per_call"] == 50


async def test_everybody_may_look_at_a_tool(sim: Simulator) -> None:
    tool = (await ask(sim, "GET", "/api/tools/agentpatch/research", key=None)).json()
    assert (tool["owner_username"], tool["max_timeout_seconds"]) == ("agentpatch", 600)


async def test_a_call_is_paid_for_and_tells_what_is_left(sim: Simulator) -> None:
    told = (await call(sim)).json()
    assert (told["status"], told["credits_used"], told["credits_remaining"]) == ("success", 50, 950)
    assert moved(sim) == [("reserve", 50, 950), ("settle", 50, 950)]
    line = sim.bill().lines[-1]
    assert (line.api, line.credits, line.cost_nano_usd) == ("agentpatch", 50, 5_000_000)


async def test_a_tool_that_costs_less_than_its_price_gives_back_the_rest(sim: Simulator) -> None:
    sim.play(script({**SEARCH, "steps": [{"credits_used": 20}]}))
    assert (await call(sim)).json()["credits_remaining"] == 980
    assert moved(sim)[-1] == ("refund", 30, 980)
    assert sim.bill().total_nano_usd == 2_000_000


async def test_of_two_calls_at_once_on_the_last_credits_one_is_refused(sim: Simulator) -> None:
    sim.play(script(SEARCH, credits=60))
    answers = await asyncio.gather(call(sim), call(sim))
    assert sorted(each.status for each in answers) == [200, 402]
    refused = next(each for each in answers if each.status == 402)
    assert refused.json() == {"error": "Insufficient credits", "required": 50, "balance": 10}


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/tools/agentpatch/google-search", "ap_nobody_at_all", 401),
        ("/api/tools/agentpatch/google-search", None, 401),
        ("/api/tools/agentpatch/nothing", ANN, 404),
        ("/api/tools/agentpatch/google-search?timeout_seconds=0", ANN, 400),
    ],
)
async def test_what_cannot_be_served_is_refused(
    sim: Simulator, path: str, key: str | None, status: int
) -> None:
    answered = await ask(sim, "POST", path, {"q": "Rome"}, key=key)
    assert (answered.status, list(answered.json())) == (status, ["error"])
    assert moved(sim) == []


@pytest.mark.parametrize("body", [{}, [], "q"])
async def test_input_that_the_schema_does_not_take_is_refused(sim: Simulator, body: object) -> None:
    assert (await call(sim, body=body)).status == 400
    assert sim.credits().balances[ANN] == 1000


async def test_a_job_is_reserved_at_once_and_settled_at_its_end(sim: Simulator) -> None:
    begun = await call(sim, "research")
    told = begun.json()
    assert (begun.status, told["credits_reserved"], told["credits_remaining"]) == (202, 800, 200)
    assert (await ask(sim, "GET", told["poll_url"])).json()["status"] == "pending"
    await control(sim, "POST", "/sim/clock", b'{"advance_seconds": 12}')
    over = (await ask(sim, "GET", told["poll_url"])).json()
    assert (over["status"], over["credits_used"], over["latency_ms"]) == ("success", 800, 12_000)


async def test_a_job_that_takes_too_long_is_refunded(sim: Simulator) -> None:
    told = (await call(sim, "research", query="?timeout_seconds=5")).json()
    await control(sim, "POST", "/sim/clock", b'{"advance_seconds": 5}')
    over = (await ask(sim, "GET", told["poll_url"])).json()
    assert (over["status"], over["credits_used"]) == ("timeout", 0)
    assert sim.credits().balances[ANN] == 1000


async def test_a_job_is_nobody_elses(sim: Simulator) -> None:
    told = (await call(sim, "research")).json()
    assert (await ask(sim, "GET", told["poll_url"], key=BOB)).status == 404
    assert (await ask(sim, "GET", "/api/jobs/job_unknown")).status == 404


async def test_a_look_at_a_job_can_fail_and_the_next_tells(sim: Simulator) -> None:
    step = {"seconds": 1, "poll_faults": [{"status": 503}, {"how": "malformed"}]}
    sim.play(script({**RESEARCH, "steps": [step]}))
    url = (await call(sim, "research")).json()["poll_url"]
    first, second, third = [await ask(sim, "GET", url) for _ in range(3)]
    assert (first.status, second.status, third.json()["status"]) == (503, 200, "pending")
    with pytest.raises(json.JSONDecodeError):
        second.json()


@pytest.mark.parametrize(
    ("fault", "status", "left"),
    [
        ({"status": 500}, 500, 1000),
        ({"status": 422, "keeps_credits": 20}, 422, 980),
        ({"status": 429, "retry_after_seconds": 2}, 429, 1000),
        ({"status": 402}, 402, 1000),
        ({"how": "failed"}, 200, 1000),
        ({"how": "timeout"}, 200, 1000),
        ({"how": "malformed"}, 200, 950),
        ({"how": "close"}, 0, 950),
        ({"how": "reset", "keeps_credits": 0}, 0, 1000),
    ],
)
async def test_a_fault_keeps_what_it_keeps(
    sim: Simulator, fault: dict[str, Any], status: int, left: int
) -> None:
    break_search(sim, fault)
    assert (await call(sim)).status == status
    assert sim.credits().balances[ANN] == left
    assert sim.bill().total_nano_usd == (1000 - left) * 100_000


async def test_a_rate_limit_tells_its_wait_and_costs_nothing(sim: Simulator) -> None:
    break_search(sim, {"status": 429, "retry_after_seconds": 2})
    assert (await call(sim)).headers["retry-after"] == "2"
    await call(sim)
    assert [finding.rule for finding in sim.verdict().findings] == ["retry_after_ignored"]


async def test_a_call_that_gets_no_answer_has_run(sim: Simulator) -> None:
    break_search(sim, {"how": "stall"})
    with pytest.raises(TimeoutError):
        await exchange(sim, request("/api/tools/agentpatch/google-search", b'{"q":1}', headers={
            "authorization": f"Bearer {ANN}"}), wait_seconds=0.05)  # fmt: skip
    assert sim.credits().balances[ANN] == 950


async def test_the_movements_are_told_over_http_without_keys(sim: Simulator) -> None:
    await call(sim)
    told = await control(sim, "GET", "/sim/credits")
    assert ANN.encode() not in told.payload
    assert told.json()["balances"] == {"***6789": 950, "***3210": 0}
    assert [each["kind"] for each in told.json()["movements"]] == ["reserve", "settle"]


async def test_agentpmt_has_the_same_tools_and_accounts_at_its_own_price(sim: Simulator) -> None:
    listed = (await ask(sim, "GET", "/products/fetch?page=1&page_size=1")).json()
    assert listed["tools"][0]["function"]["name"] == "google-search"
    assert listed["details"]["has_next_page"]
    bought = {"name": "google-search", "parameters": {"q": "Rome"}}
    assert (await ask(sim, "POST", "/products/purchase", bought)).json()["success"]
    balance = (await ask(sim, "GET", "/credits/balance")).json()["data"]["balance"]
    assert (balance, sim.bill().total_nano_usd) == (950, 50 * 10_000_000)


async def test_without_a_platform_in_the_script_there_is_none() -> None:
    async with Simulator() as sim:
        assert (await ask(sim, "GET", "/api/search")).status == 404

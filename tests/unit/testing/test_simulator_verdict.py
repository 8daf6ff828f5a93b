"""The simulator tells which requests should not have come again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from callgate.testing import FakeClock
from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import KEY, ask, control


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sim(clock: FakeClock) -> AsyncIterator[Simulator]:
    async with Simulator(clock=clock) as simulator:
        yield simulator


def always(sim: Simulator, **fault: Any) -> None:
    sim.play({"rules": [{"steps": [{"fault": fault}]}]})


async def retry(sim: Simulator, clock: FakeClock, *waits: float, api: str = "openai") -> list[str]:
    """Ask once and again after each wait; return the rules that this broke."""
    await ask(sim, api)
    for wait in waits:
        clock.advance(wait)
        await ask(sim, api)
    return [finding.rule for finding in sim.verdict().findings]


@pytest.mark.parametrize("form", ["seconds", "float", "ms", "reset", "body", "date"])
async def test_a_wait_is_a_wait_however_it_was_told(
    sim: Simulator, clock: FakeClock, form: str
) -> None:
    always(sim, status=429, retry_after_seconds=5, retry_after_form=form)
    assert await retry(sim, clock, 4.9) == ["retry_after_ignored"]
    always(sim, status=429, retry_after_seconds=5, retry_after_form=form)
    assert await retry(sim, clock, 5.0) == []


async def test_a_finding_has_the_numbers(sim: Simulator, clock: FakeClock) -> None:
    always(sim, status=503, retry_after_seconds=5)
    await retry(sim, clock, 1.5, api="anthropic")
    found = sim.verdict().findings[0]
    assert (found.n, found.after_n, found.status) == (2, 1, 503)
    assert (found.waited_seconds, found.wanted_seconds) == (1.5, 5)
    assert (found.api, found.model, found.key) == ("anthropic", "claude-sonnet-5", "***6789")


@pytest.mark.parametrize(
    ("api", "status"), [("openai", 429), ("anthropic", 400), ("gemini", 429), ("openai", 402)]
)
async def test_out_of_money_is_not_to_be_tried_again(
    sim: Simulator, clock: FakeClock, api: str, status: int
) -> None:
    always(sim, status=status, **({} if status == 402 else {"kind": "money"}))
    assert await retry(sim, clock, 100, api=api) == ["retried_money"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_is_wrong_stays_wrong(sim: Simulator, clock: FakeClock, status: int) -> None:
    always(sim, status=status)
    assert await retry(sim, clock, 100) == ["retried_non_retryable"]


async def test_a_refusal_by_strictness_counts_as_one(sim: Simulator, clock: FakeClock) -> None:
    sim.play({"keys": ["another"]})
    assert await retry(sim, clock, 100) == ["retried_non_retryable"]


async def test_a_growing_backoff_is_right_up_to_three_retries(
    sim: Simulator, clock: FakeClock
) -> None:
    always(sim, status=500)
    assert await retry(sim, clock, 0.5, 1, 2) == []
    assert await retry(sim, clock) == ["no_backoff", "retry_storm"]


async def test_connections_that_break_count_for_a_storm(sim: Simulator, clock: FakeClock) -> None:
    always(sim, how="reset")
    assert await retry(sim, clock, 0, 0, 0) == []
    assert await retry(sim, clock) == ["retry_storm"]


async def test_a_new_request_after_a_success_is_no_retry(sim: Simulator, clock: FakeClock) -> None:
    sim.play({})
    assert await retry(sim, clock, 0, 0, 0, 0, 0) == []
    assert (sim.verdict().retries, sim.verdict().requests) == (0, 6)


async def test_another_body_or_key_is_another_request(sim: Simulator) -> None:
    always(sim, status=400)
    await ask(sim, "openai")
    await ask(sim, "openai", text="corrected")
    assert sim.verdict().ok


async def test_a_wait_of_a_rate_limit_is_one_too(sim: Simulator, clock: FakeClock) -> None:
    sim.play({"limits": [{"requests_per_minute": 1}]})
    await ask(sim, "openai")
    await ask(sim, "openai")
    clock.advance(60)
    await ask(sim, "openai")
    assert sim.verdict().ok
    await ask(sim, "openai")
    await ask(sim, "openai")
    assert [finding.rule for finding in sim.verdict().findings] == ["retry_after_ignored"]


async def test_the_verdict_is_told_over_http_and_begins_again(sim: Simulator) -> None:
    always(sim, status=400)
    for _ in range(2):
        await ask(sim, "openai")
    told = (await control(sim, "GET", "/sim/verdict")).json()
    assert (told["ok"], told["retries"], told["findings"][0]["rule"]) == (
        False,
        1,
        "retried_non_retryable",
    )
    sim.reset()
    assert (await control(sim, "GET", "/sim/verdict")).json()["ok"]


async def test_the_official_sdk_behaves() -> None:
    step = {"fault": {"status": 429, "retry_after_seconds": 0.2, "retry_after_form": "ms"}}
    script = {"rules": [{"steps": [step], "then": "next"}]}
    async with (
        Simulator(script) as sim,
        openai.AsyncOpenAI(base_url=sim.openai_url, api_key=KEY) as client,
    ):
        await client.responses.create(model="gpt-5.5", input="hi")
        assert (sim.verdict().ok, sim.verdict().retries) == (True, 1)

"""Rate limits fill by the clock, and every provider tells them in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.testing import FakeClock
from callgate.testing.simulator import Simulator
from callgate.testing.simulator.limits import RateLimits
from callgate.testing.simulator.request import Asked
from callgate.testing.simulator.script import LimitTable
from tests.unit.testing.raw_client import Answered, ask, body_of, exchange, path_of, request


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sim(clock: FakeClock) -> AsyncIterator[Simulator]:
    async with Simulator(clock=clock) as simulator:
        yield simulator


def limit(sim: Simulator, *limits: dict[str, Any], **answer: Any) -> None:
    sim.play({"limits": list(limits), "rules": [{"steps": [{"answer": answer}]}]})


async def test_a_bucket_empties_and_fills_evenly(sim: Simulator, clock: FakeClock) -> None:
    limit(sim, {"requests_per_minute": 2})
    statuses = [(await ask(sim, "openai")).status for _ in range(3)]
    clock.advance(29.9)
    early = await ask(sim, "openai")
    clock.advance(0.1)
    assert statuses == [200, 200, 429]
    assert (early.status, early.headers["retry-after"]) == (429, "1")
    assert (await ask(sim, "openai")).status == 200


async def test_openai_tells_both_buckets(sim: Simulator) -> None:
    limit(sim, {"requests_per_minute": 60, "tokens_per_minute": 600})
    answered = await ask(sim, "openai", text="x" * 400)
    told = {
        name.removeprefix("x-ratelimit-"): value
        for name, value in answered.headers.items()
        if name.startswith("x-ratelimit-")
    }
    assert told == {
        "limit-requests": "60",
        "remaining-requests": "59",
        "reset-requests": "1s",
        "limit-tokens": "600",
        "remaining-tokens": "500",
        "reset-tokens": "10s",
    }


async def test_anthropic_tells_an_instant(sim: Simulator) -> None:
    limit(sim, {"requests_per_minute": 1})
    answers = [await ask(sim, "anthropic") for _ in range(2)]
    reset = [one.headers["anthropic-ratelimit-requests-reset"] for one in answers]
    assert reset == ["2026-01-01T00:01:00.000000Z"] * 2
    assert [one.headers["anthropic-ratelimit-requests-remaining"] for one in answers] == ["0", "0"]
    assert answers[1].json()["error"]["type"] == "rate_limit_error"


async def test_gemini_tells_nothing_but_the_wait(sim: Simulator) -> None:
    limit(sim, {"requests_per_minute": 1})
    first, second = [await ask(sim, "gemini") for _ in range(2)]
    details = second.json()["error"]["details"]
    assert not [name for name in first.headers if "rate" in name]
    assert details[-1]["retryDelay"] == "60s"


async def test_tokens_are_a_limit_of_their_own(sim: Simulator) -> None:
    limit(sim, {"tokens_per_minute": 100}, text="x", usage={"output_tokens": 60})
    first = await ask(sim, "openai", text="x" * 160)
    second = await ask(sim, "openai", text="y" * 160)
    error = second.json()["error"]
    assert (first.status, second.status) == (200, 429)
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
    assert second.headers["retry-after"] == "24"


async def as_key(sim: Simulator, key: str, **fields: Any) -> Answered:
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    body = body_of("openai", **fields)
    return await exchange(sim, request(path_of("openai"), body, headers=headers))


async def test_each_key_and_model_has_its_own(sim: Simulator) -> None:
    limit(sim, {"requests_per_minute": 1, "key": "sk-*"})
    keys = [(await as_key(sim, key)).status for key in ("sk-a", "sk-a", "sk-b", "other", "other")]
    assert keys == [200, 429, 200, 200, 200]
    assert (await as_key(sim, "sk-a", model="gpt-5-mini")).status == 200


async def test_the_first_limit_that_fits_holds(sim: Simulator) -> None:
    limit(sim, {"requests_per_minute": 9, "model": "gpt-*"}, {"requests_per_minute": 1})
    chat = [(await ask(sim, "openai")).status for _ in range(3)]
    claude = [(await ask(sim, "anthropic")).status for _ in range(2)]
    assert (chat, claude) == ([200, 200, 200], [200, 429])


async def test_what_is_refused_costs_nothing_and_takes_nothing(sim: Simulator) -> None:
    limit(sim, {"requests_per_minute": 1})
    await asyncio.gather(*(ask(sim, "openai", text=str(n)) for n in range(5)))
    assert sim.bill().billed_requests == 1
    assert {line.state for line in sim.bill().lines} == {"complete", "refused"}


@given(
    per_minute=st.integers(1, 100),
    steps=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=80),
)
def test_no_minute_lets_more_through_than_its_bucket_and_what_fills(
    per_minute: int, steps: list[float]
) -> None:
    clock = FakeClock()
    limits = RateLimits([LimitTable(requests_per_minute=per_minute)], clock)
    served = 0
    for step in steps:
        grant = limits.take(Asked(api="openai"))
        assert grant is not None
        served += grant.problem is None
        clock.advance(step)
    assert served <= per_minute * (1 + clock.monotonic() / 60) + 1e-6

"""Time of a simulator stands until it is moved, in Python and over HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest

from callgate.testing import FakeClock
from callgate.testing.clocks import Turn
from callgate.testing.simulator import Simulator
from callgate.testing.simulator.clock import SteppedClock
from tests.unit.testing.raw_client import Answered, ask, control

PACED = {"rules": [{"steps": [{"answer": {"text": "a b"}, "pace": {"event_seconds": 1.0}}]}]}


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await Turn()


async def advance(sim: Simulator, seconds: object) -> Answered:
    body = json.dumps({"advance_seconds": seconds}).encode()
    return await control(sim, "POST", "/sim/clock", body)


async def test_who_sleeps_wakes_in_the_order_of_moments() -> None:
    clock, woken = SteppedClock(start=0.0), list[tuple[str, float]]()

    async def sleep(name: str, *lengths: float) -> None:
        for length in lengths:
            await clock.sleep(length)
            woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleep("a", 2, 2)), asyncio.create_task(sleep("b", 3, 9))]
    await turns()
    assert (woken, clock.sleepers) == ([], 2)
    await clock.advance(5)
    assert woken == [("a", 2), ("b", 3), ("a", 4)]
    assert (clock.now(), clock.sleepers) == (5, 1)
    await clock.advance(9)
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_was_cancelled_is_passed_over() -> None:
    clock = SteppedClock()
    task = asyncio.create_task(clock.sleep(1))
    await turns()
    task.cancel()
    await clock.advance(2)
    assert (clock.monotonic(), clock.sleepers) == (2, 0)


async def test_a_stream_waits_for_somebody_to_move_the_clock() -> None:
    async with Simulator({"clock": "virtual", **PACED}) as sim:
        asked = asyncio.create_task(ask(sim, "openai", stream=True))
        while not sim.bill().requests:
            await Turn()
        await turns()
        assert sim.bill().lines[0].state == "running"
        moved = (await advance(sim, 100)).json()
        assert (await asked).is_whole
    assert moved == {"now": "2026-01-01T00:01:40.000000Z", "passed_seconds": 100.0}


async def test_an_instant_clock_moves_where_somebody_waits() -> None:
    async with Simulator({"clock": "instant", **PACED}) as sim:
        assert (await ask(sim, "openai", stream=True)).is_whole
        shown = (await control(sim, "GET", "/sim/clock")).json()
        assert shown["passed_seconds"] == sim.clock.monotonic() == 4


async def test_a_date_to_retry_after_goes_by_the_clock() -> None:
    fault = {"status": 429, "retry_after_seconds": 5, "retry_after_form": "date"}
    script = {"clock": "virtual", "rules": [{"steps": [{"fault": fault}]}]}
    async with Simulator(script) as sim:
        await advance(sim, 60)
        answered = await ask(sim, "openai")
    assert answered.headers["retry-after"] == "Thu, 01 Jan 2026 00:01:05 GMT"


async def test_the_clock_that_was_given_goes_before_that_of_a_script() -> None:
    clock = FakeClock()
    async with Simulator({"clock": "virtual"}, clock=clock) as sim:
        await advance(sim, 3)
    assert (sim.clock, clock.monotonic()) == (clock, 3)


@pytest.mark.parametrize(
    ("script", "seconds", "status", "shown"),
    [
        ({}, 1, 409, "the clock is real"),
        ({"clock": "virtual"}, -1, 400, "advance_seconds"),
        ({"clock": "virtual"}, "x", 400, "advance_seconds"),
    ],
)
async def test_a_clock_that_cannot_be_moved_says_why(
    script: dict[str, object], seconds: object, status: int, shown: str
) -> None:
    async with Simulator(script) as sim:
        answered = await advance(sim, seconds)
    assert answered.status == status
    assert shown in answered.json()["error"]["message"]

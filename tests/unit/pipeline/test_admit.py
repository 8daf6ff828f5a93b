"""Admission and settlement at their edges: free calls, unknown bounds, a store that is down."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from callgate.config.policies import PricePolicy
from callgate.errors import Malformed, OverBudget, StoreDown, Unbounded
from callgate.money import Money
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import DOLLAR_A_MILLION, PRICE, Road, open_road

IMAGE = b'{"model":"plain","max_tokens":1,"messages":[{"content":[{"type":"image_url"}]}]}'
COUNT = b'{"model":"other","messages":[]}'
WITHOUT_WINDOW = PricePolicy(input_femto=DOLLAR_A_MILLION, output_femto=DOLLAR_A_MILLION)


async def test_counting_tokens_is_free_and_needs_no_budget(tmp_path: Path) -> None:
    async with open_road(tmp_path, third=(Answer(usage=None),), budget="0") as road:
        passage = road.passage(format="anthropic_count_tokens", body=COUNT)
        await road.read(passage)
        attempt = road.last.attempts[0]
        assert (attempt.reserved, attempt.cost, attempt.estimated) == (Money(), Money(), False)
        assert passage.limited_to is None


async def test_an_unknown_bound_is_refused_under_a_budget_with_the_setting_to_add(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, prices={"first:a": WITHOUT_WINDOW}) as road:
        with pytest.raises(Unbounded, match=r"max_input_tokens under \[tasks\.default\]"):
            await road.read(road.passage(body=IMAGE))
        assert (road.last.state, road.last.code) == ("refused", "unbounded")


async def test_an_unknown_bound_passes_where_no_budget_holds(tmp_path: Path) -> None:
    prices = {"first:a": WITHOUT_WINDOW}
    async with open_road(tmp_path, Answer(), budget=None, prices=prices) as road:
        await road.read(road.passage(body=IMAGE))
        attempt = road.last.attempts[0]
        assert (attempt.reserved, attempt.cost) == (None, Money(10 * 1_000 + 5 * 1_000))


async def test_the_settings_may_bound_what_the_bytes_do_not(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(), prices={"first:a": PRICE}) as road:
        made = road.gate.settings
        limited = msgspec.structs.replace(made.tasks["default"], max_input_tokens=7_000)
        await road.gate.reload(msgspec.structs.replace(made, tasks={"default": limited}))
        await road.read(road.passage(body=IMAGE))
        assert road.last.attempts[0].reserved == Money(7_000 * 1_000 + 10_000)


async def test_no_call_runs_while_the_store_is_down(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        with road.store_down(), pytest.raises(StoreDown, match="no call runs without a record"):
            await road.ask()
        await road.settled()
        assert (road.providers["first"].sent, road.last.code) == ([], "store_down")
        await road.ask()
        assert road.last.state == "ok"


async def test_a_reply_is_given_though_the_store_fails_and_its_cost_is_booked_later(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, Answer()) as road:
        with ExitStack() as outage:
            reply = await end_in_an_outage(road, outage)
            while len(road.clock.waits) < 2:
                await Turn()
            assert (b"hi" in reply, road.gate.late) == (True, 1)
        while road.gate.late:
            await road.settled()
        assert (road.last.state, road.spent()) == ("ok", (Money(60_000), Money()))
        assert set(road.clock.waits) == {1.0}


async def test_what_is_not_booked_when_the_gate_closes_is_tried_a_last_time(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        with ExitStack() as outage:
            await end_in_an_outage(road, outage)
    async with open_road(tmp_path) as after:
        assert after.spent() == (Money(60_000), Money())


async def test_what_cannot_be_booked_at_all_stays_held(tmp_path: Path) -> None:
    with ExitStack() as outage:
        async with open_road(tmp_path, Answer()) as road:
            await end_in_an_outage(road, outage)
    async with open_road(tmp_path) as after:
        assert (after.last.state, after.spent()) == (
            "running",
            (Money(), after.last.attempts[0].reserved),
        )


async def test_a_refusal_that_cannot_be_recorded_is_told_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_road(tmp_path) as road:
        passage = road.passage(body=b"nope", task=None)
        await road.store.close()
        with pytest.raises(Malformed):
            await road.read(passage)
        await Turn()
        assert "left no row" in caplog.text


async def test_a_caller_cancelled_while_its_admission_fails_leaves_nothing(tmp_path: Path) -> None:
    async with open_road(tmp_path, budget="0.000001") as road:
        # With its first call the numbers of a price are noted, which is waited for too.
        with pytest.raises(OverBudget):
            await road.ask(task="before")
        task = asyncio.create_task(road.ask())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await road.settled()
        assert (road.last.state, road.last.attempts) == ("left", ())


async def end_in_an_outage(road: Road, outage: ExitStack) -> bytes:
    """Make a call whose store fails once it is admitted; return what its caller gets."""
    async with road.gate.road(road.passage()) as reply:
        outage.enter_context(road.store_down())
    return reply.body or b""

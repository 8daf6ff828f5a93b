"""A bill above its reservation raises what the next call holds, until its price is right."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callgate.call import Candidate, Usage
from callgate.money import Money
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import DOLLAR_A_MILLION, PRICE, Road, open_road

WHO = Candidate(provider="first", model="a")
# A hundred output tokens were asked for, and three hundred are billed.
MORE = Answer(usage=Usage(output_tokens=300))


async def held(road: Road) -> Money:
    """Make a call; return what was held for it."""
    await road.ask()
    reserved = road.last.attempts[0].reserved
    assert reserved is not None
    return reserved


async def test_the_next_call_holds_as_much_more_as_the_bill_was_above(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_road(tmp_path, MORE, Answer()) as road:
        before = await held(road)
        assert road.last.cost == Money(3_000_000)
        assert "first:a cost $0.003 where at most" in caplog.text
        assert await held(road) >= Money(3_000_000) > before
        assert [alert.kind for alert in road.store.alerts()] == ["overrun"]


async def test_a_bill_above_what_was_raised_already_raises_it_further(tmp_path: Path) -> None:
    again = Answer(usage=Usage(output_tokens=600))
    async with open_road(tmp_path, MORE, again, Answer()) as road:
        assert await held(road) < await held(road) < Money(6_000_000) <= await held(road)


async def test_a_gate_that_starts_again_knows_it_still(tmp_path: Path) -> None:
    async with open_road(tmp_path, MORE) as road:
        await road.ask()
    async with open_road(tmp_path, Answer()) as road:
        assert await held(road) >= Money(3_000_000)


async def test_with_its_price_right_and_the_bill_forgotten_it_is_gone(tmp_path: Path) -> None:
    async with open_road(tmp_path, MORE, Answer(), Answer()) as road:
        before = await held(road)
        right = msgspec.structs.replace(PRICE, output_femto=40 * DOLLAR_A_MILLION)
        settings = road.gate.settings
        await road.gate.reload(msgspec.structs.replace(settings, prices={"first:a": right}))
        exact = before + Money(3_000_000)
        assert await held(road) > exact
        assert await road.store.forget_overrun(WHO, road.clock.now())
        assert await held(road) == exact
        assert road.store.alerts(only_open=True) == []

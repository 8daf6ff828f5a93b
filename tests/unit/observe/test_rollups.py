from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from callgate.money import Money
from callgate.observe.rollups import CapUse, Now, cap_uses, month_so_far, spending
from callgate.store import GateIdentity, Store
from callgate.store.calendar import Calendar
from callgate.store.limits import LimitName
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import (
    NOW,
    make_intent,
    make_limit,
    make_override,
    make_settlement,
    make_task,
)

HOUR = 3600.0
DAY = 24 * HOUR
CALENDAR = Calendar(ZoneInfo("UTC"))
SHARES = (0.8, 0.95)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Store]:
    """A store on disk."""
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(tmp_path / "x.db", clock=clock, gate=gate)
    yield store
    await store.close()


async def spend(store: Store, call: str, cost: int, *, at: float, user: str | None = "u1") -> None:
    """Have a user's task make a call that costs so many nano-dollars."""
    await store.admit(make_intent(make_task(f"t-{user}", user=user), call, nano=cost, sent_at=at))
    await store.settle(make_settlement(f"{call}.1", cost=cost))


async def limit(store: Store, *limits: tuple[str, LimitName, int]) -> None:
    """Let limits hold."""
    await store.load_limits([make_limit(*one) for one in limits], 1)


def at(store: Store, instant: float) -> Now:
    return Now(store=store, calendar=CALENDAR, at=instant)


def uses(store: Store, instant: float) -> list[CapUse]:
    return cap_uses(at(store, instant), shares=SHARES)


async def test_a_cap_tells_what_is_spent_held_and_to_come(store: Store, clock: FakeClock) -> None:
    await limit(store, ("gate", "budget_per_day", 10_000))
    await spend(store, "c1", 1_200, at=NOW)
    await store.admit(make_intent(make_task("t2"), "c2", nano=70, sent_at=NOW + 12 * HOUR))
    clock.advance(12 * HOUR)
    (use,) = uses(store, NOW + 12 * HOUR)
    assert (use.spent, use.held, use.cap) == (Money(1_200), Money(70), Money(10_000))
    # Half a day has spent 1,200; the other half will spend as much.
    assert (use.forecast.spent, use.forecast.runs_out_at) == (Money(2_400), None)


async def test_a_cap_that_will_not_last_tells_when(store: Store) -> None:
    await limit(store, ("gate", "budget_per_day", 1_800))
    await spend(store, "c1", 1_200, at=NOW)
    (use,) = uses(store, NOW + 12 * HOUR)
    assert use.forecast.runs_out_at == NOW + 18 * HOUR
    assert use.crossings == ()


async def test_a_cap_that_is_nearly_spent_tells_its_thresholds(store: Store) -> None:
    await limit(store, ("gate", "budget_per_day", 1_200))
    await spend(store, "c1", 1_000, at=NOW)
    (use,) = uses(store, NOW + 60)
    assert [one.kind for one in use.crossings] == ["share", "run_out"]


async def test_a_limit_of_every_user_is_told_of_the_one_who_has_used_most(store: Store) -> None:
    await limit(store, ("user:*", "budget_per_day", 5_000))
    assert uses(store, NOW) == []
    await spend(store, "c1", 100, at=NOW, user="u1")
    await spend(store, "c2", 300, at=NOW, user="u2")
    (use,) = uses(store, NOW + HOUR)
    assert (use.scope, use.spent, use.rate.spent) == ("user:u2", Money(300), Money(300))


async def test_limits_of_calls_and_those_that_do_not_hold_are_no_caps(store: Store) -> None:
    await limit(store, ("gate", "budget_per_day", 5_000), ("gate", "per_minute", 9))
    await store.override(make_override("gate", "budget_per_day", 7_000))
    assert [use.cap for use in uses(store, NOW)] == [Money(7_000)]


async def test_caps_of_the_whole_gate_come_first(store: Store) -> None:
    await limit(
        store,
        ("agent:a", "budget_per_day", 9),
        ("gate", "budget_per_month", 9),
        ("gate", "budget_per_hour", 9),
    )
    assert [use.scope for use in uses(store, NOW)] == ["gate", "gate", "agent:a"]


async def test_the_month_goes_on_like_the_last_seven_days(store: Store) -> None:
    await spend(store, "c1", 30_000, at=NOW)
    await spend(store, "c2", 700, at=NOW + 8 * DAY)
    month = month_so_far(at(store, NOW + 10 * DAY))
    assert month.spending is not None
    assert (month.spending.cost, month.rate.spent) == (Money(30_700), Money(700))
    # January has 21 days more.
    assert month.forecast.spent == Money(30_700 + 2_100)


async def test_a_month_in_which_nothing_left_is_empty(store: Store) -> None:
    month = month_so_far(at(store, NOW))
    assert (month.spending, month.forecast.spent) == (None, Money())


async def test_days_are_told_from_the_first_call_on(store: Store) -> None:
    assert spending(at(store, NOW), "day", since=0, until=NOW) == ([], None)
    for n in (0, 1, 3):
        await spend(store, f"c{n}", 10**n, at=NOW + n * DAY)
    rows, total = spending(at(store, NOW + 5 * DAY), "day", since=0, until=NOW + 9 * DAY)
    assert [(row.name, row.cost.nano) for row in rows] == [
        ("2026-01-01", 1),
        ("2026-01-02", 10),
        ("2026-01-04", 1_000),
    ]
    assert total is not None
    assert total.cost == Money(1_011)


async def test_the_total_of_tools_is_of_tools(store: Store) -> None:
    await spend(store, "c1", 100, at=NOW)
    assert spending(at(store, NOW + 1), "tool", since=NOW, until=NOW + 1) == ([], None)

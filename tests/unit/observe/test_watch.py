"""What a look at the budgets raises, when it is over, and what it goes by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from callgate.money import Money
from callgate.observe import watch
from callgate.observe.watch import LOOK_SECONDS, Meter, Plan, Watch
from callgate.store import Alert, GateIdentity, Store
from callgate.store.calendar import Calendar
from callgate.store.limits import LimitName
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock, Turn
from tests.contract.store.making import (
    NOW,
    make_intent,
    make_limit,
    make_override,
    make_settlement,
    make_task,
)

CALENDAR = Calendar(ZoneInfo("UTC"))
SHARES = (0.8, 0.95)
HOUR = 3600.0


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


@pytest.fixture
def looking(store: Store, clock: FakeClock) -> Watch:
    return Watch(store, clock, lambda: Plan(CALENDAR, SHARES))


async def spend(
    store: Store,
    clock: FakeClock,
    call: str,
    cost: int,
    *,
    user: str = "u1",
    budget: int | None = None,
) -> None:
    """Have a user's task make a call now that costs so many nano-dollars."""
    task = make_task(f"t-{user}", user=user, budget=budget)
    await store.admit(make_intent(task, call, nano=cost, sent_at=clock.now()))
    await store.settle(make_settlement(f"{call}.1", cost=cost, at=clock.now()))


async def limit(store: Store, *limits: tuple[str, LimitName, int]) -> None:
    await store.load_limits([make_limit(*one) for one in limits], 1)


def told(store: Store, *, only_open: bool = True) -> list[tuple[str, str, object]]:
    alerts = store.alerts(limit=None, only_open=only_open)
    return sorted((a.kind, a.scope, a.facts["share_percent"]) for a in alerts)


def only(store: Store) -> Alert:
    (alert,) = store.alerts(limit=None, only_open=True)
    return alert


async def test_a_share_is_told_once_however_often_and_by_whom_it_is_looked_at(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("gate", "budget_per_day", 1_000))
    await spend(store, clock, "c1", 799)
    await looking.look()
    assert told(store) == []
    await spend(store, clock, "c2", 1)
    other = Watch(store, clock, lambda: Plan(CALENDAR, SHARES))
    for each in (looking, other, looking):
        await each.look()
        clock.advance(LOOK_SECONDS)
    (alert,) = (each for each in store.alerts(only_open=True) if each.kind == "share")
    assert (alert.kind, alert.severity, alert.scope) == ("share", "warning", "gate")
    assert "callgate budget set gate day AMOUNT raises it" in alert.message
    assert alert.facts["resets_at"] == "2026-01-02T00:00:00.000000Z"


async def test_each_share_and_all_of_it_are_told(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("agent:researcher", "budget_per_hour", 1_000))
    await spend(store, clock, "c1", 1_000)
    await looking.look()
    shares = [share for kind, _, share in told(store) if kind == "share"]
    assert shares == [80, 95, 100]


async def test_a_share_is_over_when_the_cap_is_raised_or_its_window_is(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("type:research", "budget_per_day", 1_000))
    await spend(store, clock, "c1", 900)
    await looking.look()
    await store.override(make_override("type:research", "budget_per_day", 2_000))
    await looking.look()
    assert told(store) == []
    await store.lift("type:research", "budget_per_day")
    await looking.look()
    assert len(told(store)) == 1
    clock.advance(24 * HOUR)
    await looking.look()
    assert told(store) == []
    assert len(told(store, only_open=False)) == 2


async def test_of_users_those_are_told_who_have_spent_their_share(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(
        store,
        ("user:*", "budget_per_day", 1_000),
        ("user:u3", "budget_per_day", 100),
        ("user:u4", "per_minute", 9),
    )
    for user, cost in (("u1", 790), ("u2", 850), ("u3", 85), ("u4", 5_000)):
        await spend(store, clock, f"c-{user}", cost, user=user)
    await looking.look()
    assert told(store) == [("share", "user:u2", 80), ("share", "user:u3", 80)]


async def test_a_task_is_told_while_it_is_open(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await spend(store, clock, "c1", 960, budget=1_000)
    await looking.look()
    assert [share for _, _, share in told(store)] == [80, 95]
    assert "callgate budget set task:t-u1 task AMOUNT" in store.alerts()[0].message
    await store.end_task("t-u1", clock.now())
    await looking.look()
    assert told(store) == []


async def test_money_that_runs_out_soon_is_told_and_over_when_it_has_been_calm(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("gate", "budget_per_day", 10_000))
    for minute in range(16):
        await spend(store, clock, f"c{minute}", 150)
        await looking.look()
        clock.advance(60)
    alert = next(alert for alert in store.alerts(only_open=True))
    assert (alert.kind, alert.severity) == ("run_out", "critical")
    assert "at this rate nothing is left at 2026-01-01T0" in alert.message
    clock.advance(300)
    await looking.look()
    assert len(told(store)) == 1
    clock.advance(600)
    await looking.look()
    assert told(store) == []


async def test_a_gate_that_has_just_begun_asks_what_was_before(
    store: Store, clock: FakeClock
) -> None:
    await limit(store, ("gate", "budget_per_day", 10_000))
    clock.advance(HOUR)
    for minute in range(15):
        await spend(store, clock, f"c{minute}", 150)
        clock.advance(60)
    await Watch(store, clock, lambda: Plan(CALENDAR, SHARES)).look()
    assert only(store).kind == "run_out"


async def test_a_month_that_burns_too_fast_is_told(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    clock.advance(9 * 24 * HOUR)
    await limit(store, ("gate", "budget_per_month", 744_000))
    for n in range(12):
        await spend(store, clock, f"c{n}", 1_300)
        await looking.look()
        clock.advance(300)
    burns = [alert for alert in store.alerts(only_open=True) if alert.kind == "burn"]
    assert [alert.facts["factor_percent"] for alert in burns] == [1440]
    assert "14.4 times as fast as it lasts" in burns[0].message


async def test_a_store_that_is_down_is_asked_again(
    store: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watch(store, clock, lambda: Plan(CALENDAR, SHARES))
    await store.close()
    going_on = asyncio.create_task(watched.go_on())
    for _ in range(9):
        await Turn()
    going_on.cancel()
    assert clock.waits[:2] == [LOOK_SECONDS] * 2
    assert "budgets could not be looked at" in caplog.text


def test_a_meter_forgets_what_is_finer_or_older_than_it_needs() -> None:
    meter = Meter()
    for second in range(0, 400_000, 10):
        meter.look(float(second), Money(second))
    assert len(meter) < 1_100
    now = 399_990.0
    assert meter.spent_in(180.0, now=now, starts_at=0.0) == Money(180)
    assert abs(meter.spent_in(3 * 86_400.0, now=now, starts_at=0.0).nano - 259_200) <= 300


def test_a_window_that_has_just_begun_has_spent_what_it_says() -> None:
    meter = Meter()
    meter.look(100.0, Money(7))
    assert meter.spent_in(900.0, now=100.0, starts_at=50.0) == Money(7)
    assert meter.spent_in(10.0, now=100.0, starts_at=50.0) == Money()
    assert watch.COARSE_SECONDS > LOOK_SECONDS

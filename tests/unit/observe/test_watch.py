"""What a look at the budgets raises, when it is over, and what it goes by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from callgate.money import Money
from callgate.observe.watch import LOOK_SECONDS, MOST_LOGGED, Plan, Watch
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
    return sorted((a.kind, a.scope, a.facts["threshold_percent"]) for a in alerts)


def only(store: Store) -> Alert:
    (alert,) = store.alerts(limit=None, only_open=True)
    return alert


async def test_a_share_is_told_once_however_often_and_by_whom_it_is_looked_at(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("gate", "budget_per_day", 1_000))
    await spend(store, clock, "c1", 799)
    clock.advance(HOUR)
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


async def test_each_share_and_all_of_it_are_told_as_they_come(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("agent:researcher", "budget_per_hour", 1_000))
    for call, cost in (("c1", 800), ("c2", 150), ("c3", 50)):
        await spend(store, clock, call, cost)
        await looking.look()
    shares = [share for kind, _, share in told(store) if kind == "share"]
    assert shares == [80, 95, 100]


async def test_of_shares_that_are_crossed_at_once_the_highest_is_told(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await spend(store, clock, "c1", 1_000, budget=1_000)
    for _ in range(2):
        await looking.look()
    assert told(store, only_open=False) == [("share", "task:t-u1", 100)]


async def test_an_open_alert_says_how_its_budget_stands_now(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    for call, cost in (("c1", 800), ("c2", 9), ("c3", 31)):
        await spend(store, clock, call, cost, budget=1_000)
        await looking.look()
    assert only(store).facts["spent_percent"] == 84
    assert "has spent $0.00000084 of the $0.000001" in only(store).message
    await store.raise_budget("t-u1", Money(1_010))
    await looking.look()
    assert only(store).facts["cap_nano_usd"] == 1_010


async def test_a_share_is_not_over_by_a_cost_that_is_corrected_a_little(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await spend(store, clock, "c1", 800, budget=1_000)
    await looking.look()
    for budget, still in ((1_020, 1), (1_030, 0)):
        await store.raise_budget("t-u1", Money(budget))
        await looking.look()
        assert len(told(store)) == still


async def test_gates_with_other_lines_leave_the_alerts_of_each_other_alone(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("user:*", "budget_per_day", 1_000))
    berlin = Watch(store, clock, lambda: Plan(Calendar(ZoneInfo("Europe/Berlin")), SHARES))
    early = Watch(store, clock, lambda: Plan(CALENDAR, (0.5,)))
    await spend(store, clock, "c1", 600)
    for each in (early, looking, berlin, early):
        await each.look()
    assert told(store, only_open=False) == [("share", "user:u1", 50)]
    clock.advance(25 * HOUR)
    await berlin.look()
    assert told(store) == []


async def test_a_share_is_over_when_the_cap_is_raised_or_its_window_is(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("type:research", "budget_per_day", 1_000))
    await spend(store, clock, "c1", 900)
    clock.advance(HOUR)
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
    clock.advance(HOUR)
    await looking.look()
    assert told(store) == [("share", "user:u2", 80), ("share", "user:u3", 80)]


async def test_a_task_is_told_while_it_is_open(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await spend(store, clock, "c1", 960, budget=1_000)
    await looking.look()
    assert [share for _, _, share in told(store)] == [95]
    assert "callgate budget set task:t-u1 task AMOUNT" in store.alerts()[0].message
    await store.end_task("t-u1", clock.now())
    await looking.look()
    assert told(store) == []


async def test_money_that_runs_out_soon_is_told_until_it_does_not(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("gate", "budget_per_day", 10_000))
    for minute in range(16):
        await spend(store, clock, f"c{minute}", 150)
        await looking.look()
        clock.advance(60)
    alert = only(store)
    assert (alert.kind, alert.severity) == ("run_out", "critical")
    assert "at this rate nothing is left at 2026-01-01T0" in alert.message
    for seconds, still in ((60, 1), (60, 1), (300, 0)):
        clock.advance(seconds)
        await looking.look()
        assert len(told(store)) == still


async def test_a_rate_goes_on_where_a_window_begins_anew(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("gate", "budget_per_day", 10_000))
    clock.advance(24 * HOUR - 15 * 60)
    for minute in range(17):
        await spend(store, clock, f"c{minute}", 170)
        await looking.look()
        clock.advance(60)
    assert only(store).facts["resets_at"] == "2026-01-03T00:00:00.000000Z"


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


async def test_a_gate_that_has_just_begun_asks_nobody_about_users(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await limit(store, ("user:*", "budget_per_day", 1_000), ("user:u2", "budget_per_day", 1_000))
    clock.advance(HOUR)
    for user in ("u1", "u2"):
        await spend(store, clock, f"c-{user}", 900, user=user)
    await looking.look()
    assert [(kind, scope) for kind, scope, _ in told(store)] == [
        ("run_out", "user:u2"),
        ("share", "user:u1"),
        ("share", "user:u2"),
    ]


async def test_a_month_that_burns_too_fast_is_told_and_again_if_it_burns_faster(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    clock.advance(9 * 24 * HOUR)
    await limit(store, ("gate", "budget_per_month", 744_000))
    for n in range(96):
        # Twice as fast as it lasts, and then fifteen times.
        await spend(store, clock, f"c{n}", 1_250 if n >= 84 else 500 if n >= 12 else 170)
        await looking.look()
        clock.advance(300)
    alerts = [alert for alert in store.alerts(only_open=True) if alert.kind == "burn"]
    burns = [(alert.facts["factor_percent"], alert.severity) for alert in alerts]
    assert burns == [(1440, "critical"), (600, "critical")]
    assert "lately 14.4 times as fast as it lasts" in alerts[0].message


async def test_what_is_wrong_in_a_look_stops_neither_the_gate_nor_the_next_look(
    store: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    plans = iter([Plan(CALENDAR, ()), Plan(CALENDAR, SHARES)])
    watched = Watch(store, clock, lambda: next(plans))
    await spend(store, clock, "c1", 900, budget=1_000)
    broken = Watch(store, clock, lambda: Plan(CALENDAR, cast("tuple[float]", ("0.8",))))
    await broken.look_safely()
    assert "they are looked at again" in caplog.text
    await watched.look_safely()
    await watched.look_safely()
    assert told(store) == [("share", "task:t-u1", 80)]


async def test_a_short_run_is_looked_at_when_it_ends(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await spend(store, clock, "c1", 900, budget=1_000)
    await looking.end()
    assert len(told(store)) == 1


async def test_nobody_waits_for_a_look_that_takes_long(
    store: Store, clock: FakeClock, looking: Watch
) -> None:
    await spend(store, clock, "c1", 900, budget=1_000)
    going_on = asyncio.create_task(looking.go_on())
    await Turn()
    going_on.cancel()
    await asyncio.wait([going_on])
    await looking.end()
    assert told(store) == []


async def test_of_many_alerts_few_are_logged_and_all_are_there(
    store: Store, clock: FakeClock, looking: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await limit(store, ("user:*", "budget_per_day", 1_000))
    for n in range(60):
        await spend(store, clock, f"c{n}", 900, user=f"u{n}")
    await looking.look()
    assert len(told(store)) == 60
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == MOST_LOGGED + 1
    assert lines[-1] == "alert: 50 more; callgate alerts --all lists them"


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

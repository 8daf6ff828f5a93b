"""Budgets over hours, days and months: held to the nano-dollar, whoever asks and whatever the clock."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callgate.call import Candidate
from callgate.errors import OverBudget, Unpriced
from callgate.money import Money
from callgate.store import GateIdentity, Grant, Store
from callgate.store.limits import LimitName
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    NOW,
    ask,
    make_bill,
    make_limit,
    make_override,
    make_settlement,
    windows_of,
)
from tests.contract.store.test_admission import balance

SCOPES = (
    "gate", "agent:researcher", "type:research", "user:u1", "user:*", "provider:openai",
)  # fmt: skip
BUDGETS: tuple[LimitName, ...] = ("budget_per_hour", "budget_per_day", "budget_per_month")


async def fits(store: Store, call: str, *, nano: int = 100, **more: Any) -> bool:
    """Ask for money; return whether it was granted."""
    try:
        await store.admit(ask(call, nano=nano, **more))
    except OverBudget:
        return False
    return True


def used(store: Store, at: float, zone: str = "UTC") -> tuple[int | None, int]:
    """Return what is spent and held of the first limit."""
    row = store.limits(windows_of(at, zone))[0]
    return row.used, row.held


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("scope", SCOPES)
async def test_a_cap_is_held_to_the_nano_dollar_over_gates_and_calls_at_once(
    database: Database, clock: FakeClock, scope: str, name: LimitName
) -> None:
    gates = [GateIdentity.of_this_process(started_at=clock.now()) for _ in range(3)]
    stores = [await database.open(gate) for gate in gates]
    await stores[0].load_limits([make_limit(scope, name, 100 * 33 + 99)], 1)
    asked = [stores[n % 3].admit(ask(f"c{n}", task=f"t{n % 7}")) for n in range(100)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Grant) for answer in answers) == 33
    assert sum(isinstance(answer, OverBudget) for answer in answers) == 67
    assert await fits(stores[1], "last", nano=99)
    assert not await fits(stores[2], "more", nano=1)
    assert stores[0].verify() == []
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ("agent:researcher", {"agent": "writer"}),
        ("type:research", {"type": "mail"}),
        ("user:u1", {"user": "u2"}),
        ("user:u1", {"user": None}),
        ("user:*", {"user": "u2"}),
    ],
)
async def test_a_cap_of_one_does_not_hold_for_another(
    store: Store, scope: str, other: dict[str, Any]
) -> None:
    await store.load_limits([make_limit(scope, "budget_per_day", 100)], 1)
    assert await fits(store, "c1")
    assert not await fits(store, "c2")
    assert await fits(store, "c3", task="another", **other)


async def test_users_who_fit_by_themselves_may_not_fit_together(store: Store) -> None:
    limits = [
        make_limit("user:*", "budget_per_day", 200),
        make_limit("gate", "budget_per_day", 350),
    ]
    await store.load_limits(limits, 1)
    assert await fits(store, "c1", user="u1", nano=200)
    assert await fits(store, "c2", user="u2", nano=150)
    assert not await fits(store, "c3", user="u1", nano=1)
    assert not await fits(store, "c4", user="u2", nano=1)
    assert not await fits(store, "c5", user="u3", nano=1)
    assert store.verify() == []


async def test_a_refusal_names_every_level_that_is_low_and_speaks_for_the_longest(
    store: Store,
) -> None:
    limits = [
        make_limit("gate", "budget_per_month", 250),
        make_limit("agent:researcher", "budget_per_day", 240),
        make_limit("user:*", "budget_per_hour", 10_000),
    ]
    await store.load_limits(limits, 1)
    await store.admit(ask("c1"))
    await store.settle(make_settlement("c1.1", cost=70))
    await store.admit(ask("c2"))
    with pytest.raises(OverBudget) as refused:
        await store.admit(ask("c3"))
    reason, message = refused.value.reason, refused.value.message
    assert (reason.rule, reason.scope, reason.limit) == ("caps.month", "gate", 250)
    assert (reason.used, reason.held, reason.needed) == (70, 100, 100)
    assert reason.resets_at == "2026-02-01T00:00:00.000000Z"
    assert "agents.researcher.budget_per_day, until 2026-01-02T00:00:00.000000Z" in message
    assert "user" not in message
    for fix in ("budget set gate month AMOUNT", "budget set agent:researcher day AMOUNT"):
        assert fix in str(reason.fix)


async def test_money_that_is_held_is_told_from_money_that_is_spent(store: Store) -> None:
    await store.load_limits([make_limit("gate", "budget_per_day", 150)], 1)
    await store.admit(ask("c1"))
    with pytest.raises(OverBudget, match=r"is held by running calls, which may come free"):
        await store.admit(ask("c2"))
    await store.settle(make_settlement("c1.1", cost=100))
    with pytest.raises(OverBudget, match=r"\$0\.0000001 is spent and \$0\.00 is held by running"):
        await store.admit(ask("c3"))


async def test_an_output_limit_is_lowered_to_what_the_lowest_level_still_buys(
    store: Store,
) -> None:
    limits = [
        make_limit("gate", "budget_per_day", 130),
        make_limit("user:*", "budget_per_day", 140),
    ]
    await store.load_limits(limits, 1)
    lowered = ask("c1", bill=make_bill(100, output_tokens=50, least=16))
    assert await store.admit(lowered) == Grant(reserved=Money(130), output_tokens=30)


TURNS = [
    # Midnight, and the end of a month, where it is.
    ("UTC", "2026-01-01T23:59:59.999999", "2026-01-02T00:00:00", "budget_per_day"),
    ("Europe/Berlin", "2026-07-10T23:59:59.999999", "2026-07-11T00:00:00", "budget_per_day"),
    ("Asia/Kolkata", "2026-01-01T23:59:59.999999", "2026-01-02T00:00:00", "budget_per_day"),
    ("America/New_York", "2026-01-31T23:59:59.999999", "2026-02-01T00:00:00", "budget_per_month"),
    ("Asia/Kolkata", "2026-02-28T23:59:59.999999", "2026-03-01T00:00:00", "budget_per_month"),
    # Days that are an hour too short and an hour too long.
    ("Europe/Berlin", "2026-03-29T00:00:00", "2026-03-30T00:00:00", "budget_per_day"),
    ("America/New_York", "2026-11-01T00:00:00", "2026-11-02T00:00:00", "budget_per_day"),
    # Hours: on the half of UTC's, the one that is left out, and the one that comes twice.
    ("Asia/Kolkata", "2026-01-01T10:00:00", "2026-01-01T11:00:00", "budget_per_hour"),
    ("Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T03:00:00", "budget_per_hour"),
    ("Europe/Berlin", "2026-10-25T02:59:59", "2026-10-25T02:00:00+01:00", "budget_per_hour"),
    ("America/New_York", "2026-11-01T01:59:59", "2026-11-01T01:00:00-05:00", "budget_per_hour"),
]


def instant(zone: str, local: str) -> float:
    told = datetime.fromisoformat(local)
    return (told if told.tzinfo else told.replace(tzinfo=ZoneInfo(zone))).timestamp()


@pytest.mark.parametrize(("zone", "before", "after", "name"), TURNS)
async def test_a_window_ends_where_one_lives(
    store: Store, zone: str, before: str, after: str, name: LimitName
) -> None:
    last, first = instant(zone, before), instant(zone, after)
    await store.load_limits([make_limit("gate", name, 100)], 1)
    assert await fits(store, "c1", at=last, zone=zone)
    # The last instant that is still in it is refused, the first of the next is not.
    assert not await fits(store, "c2", at=first - 1e-6, zone=zone)
    assert await fits(store, "c3", at=first, zone=zone)
    assert not await fits(store, "c4", at=first + 1, zone=zone)
    assert store.verify() == []


async def test_a_refusal_on_the_day_of_two_equal_hours_tells_when_the_day_ends(
    store: Store,
) -> None:
    at = instant("Europe/Berlin", "2026-10-25T02:30:00+01:00")
    await store.load_limits([make_limit("gate", "budget_per_day", 100)], 1)
    await store.admit(ask("c1", at=at, zone="Europe/Berlin"))
    with pytest.raises(OverBudget) as refused:
        await store.admit(ask("c2", at=at, zone="Europe/Berlin"))
    assert refused.value.reason.resets_at == "2026-10-25T23:00:00.000000Z"


async def test_a_call_that_ends_after_midnight_is_paid_by_the_day_that_it_was_sent_on(
    store: Store,
) -> None:
    await store.load_limits([make_limit("gate", "budget_per_day", 100)], 1)
    midnight = NOW + 86_400
    await store.admit(ask("c1", at=midnight - 1))
    assert await fits(store, "c2", at=midnight)
    await store.settle(make_settlement("c1.1", cost=60))
    assert (used(store, midnight - 1), used(store, midnight)) == ((60, 0), (0, 100))
    await store.settle(make_settlement("c2.1", cost=30))
    assert (used(store, midnight - 1), used(store, midnight)) == ((60, 0), (30, 0))
    assert store.verify() == []


async def test_a_limit_that_comes_at_noon_counts_the_morning_and_what_still_runs(
    store: Store,
) -> None:
    for call in ("yesterday", "done", "running", "dear"):
        at = NOW - 1 if call == "yesterday" else NOW + 3_600
        await store.admit(ask(call, at=at))
    for call, cost in (("yesterday", 90), ("done", 30), ("dear", 170)):
        await store.settle(make_settlement(f"{call}.1", cost=cost))
    # The dear one has raised what is held for its model.
    await store.forget_overrun(Candidate(provider="openai", model="gpt-5.5"), NOW)
    await store.load_limits([make_limit("user:*", "budget_per_day", 400)], 1)
    noon = NOW + 43_200
    assert not await fits(store, "c1", nano=101, at=noon)
    assert await fits(store, "c2", nano=100, at=noon)
    await store.settle(make_settlement("running.1", cost=10))
    assert await fits(store, "c3", nano=90, at=noon)
    assert not await fits(store, "c4", nano=1, at=noon)
    assert store.verify() == []


async def test_a_limit_that_is_lifted_and_comes_back_has_missed_nothing(store: Store) -> None:
    limit = [make_limit("user:*", "budget_per_day", 300)]
    await store.load_limits(limit, 1)
    assert await fits(store, "c1")
    await store.load_limits([], 2)
    assert await fits(store, "c2")
    assert await fits(store, "c3", user="u2")
    await store.settle(make_settlement("c1.1", cost=70))
    await store.load_limits(limit, 3)
    assert not await fits(store, "c4", nano=131)
    assert await fits(store, "c5", nano=130)
    assert await fits(store, "c6", nano=200, user="u2")
    assert not await fits(store, "c7", nano=1, user="u2")
    assert store.verify() == []


async def test_after_a_change_of_the_time_zone_both_days_are_right(store: Store) -> None:
    await store.load_limits([make_limit("gate", "budget_per_day", 250)], 1)
    at = instant("UTC", "2026-05-05T20:00:00")
    assert await fits(store, "c1", at=at)
    # There it is four in the afternoon, and the day has been longer.
    assert await fits(store, "c2", at=at + 1, zone="America/New_York")
    late = at + 5 * 3_600
    assert await fits(store, "c3", nano=50, at=late, zone="America/New_York")
    assert not await fits(store, "c4", nano=1, at=late, zone="America/New_York")
    assert used(store, at) == (0, 200)
    assert store.verify() == []


async def test_an_attempt_of_a_dead_gate_is_spent_in_every_window(
    database: Database, clock: FakeClock
) -> None:
    lost = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    await lost.load_limits([make_limit("user:*", "budget_per_day", 300)], 1)
    await lost.admit(ask("c1"))
    await lost.close()
    store = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    assert await fits(store, "c2", nano=200)
    assert not await fits(store, "c3", nano=1)
    assert store.verify() == []
    await store.close()


async def test_every_attempt_of_a_call_costs_and_a_call_counts_once(store: Store) -> None:
    limits = [
        make_limit("gate", "budget_per_day", 250),
        make_limit("agent:researcher", "per_day", 1),
        make_limit("provider:openai", "per_day", 9),
    ]
    await store.load_limits(limits, 1)
    assert await fits(store, "c1")
    await store.settle(make_settlement("c1.1", cost=80))
    assert await fits(store, "c1", n=2)
    told = {row.limit.scope: row.used for row in store.limits(windows_of(NOW + 1))}
    assert told == {"gate": 80, "agent:researcher": 1, "provider:openai": 2}
    assert not await fits(store, "c1", n=3)
    assert store.verify() == []


async def test_a_cap_refuses_what_has_no_price_whoever_has_it(store: Store) -> None:
    await store.load_limits([make_limit("user:u1", "budget_per_month", 10_000)], 1)
    with pytest.raises(Unpriced) as refused:
        await store.admit(ask("c1", nano=None))
    assert refused.value.reason.rule == "users.u1.budget_per_month"
    await store.admit(ask("c2", nano=None, user="u2"))
    assert balance(store, "t-u2") == (0, 0)


async def test_what_has_no_price_counts_as_a_call_where_no_money_is_limited(store: Store) -> None:
    await store.load_limits([make_limit("user:*", "per_day", 2)], 1)
    await store.admit(ask("c1", nano=None))
    await store.settle(make_settlement("c1.1", cost=None))
    await store.admit(ask("c2", nano=None))
    assert used(store, NOW + 1) == (2, 0)
    assert store.verify() == []


async def test_raising_a_tasks_budget_holds_by_the_next_call(store: Store) -> None:
    assert await fits(store, "c1", task="t1", budget=100)
    assert not await fits(store, "c2", task="t1", budget=100)
    assert await store.raise_budget("t1", Money(150))
    assert await fits(store, "c3", task="t1", budget=100, nano=50)
    assert not await fits(store, "c4", task="t1", budget=100, nano=1)
    assert await store.raise_budget("t1", None)
    assert await fits(store, "c5", task="t1", budget=100, nano=10_000)
    assert not await store.raise_budget("nobody's", Money(1))


async def test_a_change_in_one_gate_holds_by_the_next_call_in_another(
    store: Store, database: Database, clock: FakeClock
) -> None:
    other = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    await store.load_limits([make_limit("gate", "budget_per_day", 100)], 1)
    assert await fits(other, "c1")
    assert not await fits(other, "c2")
    await store.override(make_override("gate", "budget_per_day", 200))
    assert await fits(other, "c3")
    assert await store.lift("gate", "budget_per_day")
    assert not await fits(other, "c4", nano=1)
    await other.close()


async def test_a_tool_has_a_budget_of_its_own(store: Store) -> None:
    await store.load_limits([make_limit("tool:web_search", "budget_per_day", 100)], 1)
    assert await fits(store, "c1", kind="tool", target="web_search")
    assert await fits(store, "c2", kind="tool", target="news")
    assert await fits(store, "c3", target="web_search")
    assert not await fits(store, "c4", nano=1, kind="tool", target="web_search")
    assert store.verify() == []

"""Alerts are raised once and resolved once, and bills above their reservation raise one."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate
from callgate.errors import OverBudget, StoreDown
from callgate.money import Money
from callgate.store import Alert, GateIdentity, Raised, Store
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    NOW,
    ask,
    make_limit,
    make_override,
    make_settlement,
    make_task,
    windows_of,
)

MODEL = Candidate(provider="openai", model="gpt-5.5")


def make_alert(about: str, *, at: float = NOW, **more: Any) -> Alert:
    return Alert(
        id=f"alert-{about}-{at}", fingerprint=about, kind="share", severity="warning", scope="gate",
        rule="caps.day", message=f"{about} is so", facts={"share_percent": 80, "window": None},
        raised_at=at, **more,
    )  # fmt: skip


def names(alerts: Any) -> list[str]:
    return [alert.fingerprint for alert in alerts]


async def test_what_is_open_is_not_raised_again_but_told_anew(store: Store) -> None:
    assert names(await store.raise_alerts([make_alert("a"), make_alert("b")])) == ["a", "b"]
    again = msgspec.structs.replace(make_alert("a", at=NOW + 1), message="worse")
    assert await store.raise_alerts([again]) == []
    assert names(store.alerts()) == ["b", "a"]
    first = store.alerts()[1]
    assert (first.message, first.raised_at, first.facts) == ("worse", NOW, again.facts)


async def test_what_is_over_may_be_raised_again(store: Store) -> None:
    await store.raise_alerts([make_alert("a"), make_alert("b")])
    over = await store.resolve_alerts(["a", "other"], NOW + 5)
    assert [(alert.fingerprint, alert.resolved_at) for alert in over] == [("a", NOW + 5)]
    assert await store.resolve_alerts(["a"], NOW + 6) == []
    assert names(store.alerts(only_open=True)) == ["b"]
    assert len(await store.raise_alerts([make_alert("a", at=NOW + 7)])) == 1
    assert names(store.alerts(limit=None)) == ["a", "b", "a"]
    assert len(store.alerts(limit=1)) == 1


async def test_a_delivery_reads_every_change_once_and_in_order(store: Store) -> None:
    await store.raise_alerts([make_alert("a"), make_alert("b")])
    first = store.alerts_since(0, limit=1)
    assert names(first) == ["a"]
    await store.resolve_alerts(["a"], NOW + 1)
    rest = store.alerts_since(first[-1].change, limit=9)
    assert [(each.fingerprint, each.resolved_at) for each in rest] == [("b", None), ("a", NOW + 1)]
    assert store.alerts_since(rest[-1].change, limit=9) == []


async def test_two_gates_that_see_the_same_raise_it_once(database: Database) -> None:
    gates = [await database.open(GateIdentity.of_this_process(started_at=NOW)) for _ in range(2)]
    raised = await asyncio.gather(*(gate.raise_alerts([make_alert("a")]) for gate in gates))
    assert sorted(len(each) for each in raised) == [0, 1]
    for gate in gates:
        await gate.close()


async def test_a_bill_above_its_reservation_raises_the_bound_in_every_gate(
    database: Database,
) -> None:
    here, there = [
        await database.open(GateIdentity.of_this_process(started_at=NOW)) for _ in range(2)
    ]
    await there.admit(ask("c0", task="other"))
    await here.admit(ask("c1"))
    overrun = await here.settle(make_settlement("c1.1", cost=250))
    assert overrun is not None
    assert (overrun.candidate, overrun.thousandths) == (MODEL, 2_500)
    grant = await there.admit(ask("c2"))
    assert (grant.reserved, grant.raised_thousandths) == (Money(250), 2_500)
    (alert,) = here.alerts()
    assert (alert.kind, alert.scope, alert.facts["factor_thousandths"]) == (
        "overrun",
        "model:openai:gpt-5.5",
        2_500,
    )
    assert "callgate ledger forget-overrun openai:gpt-5.5" in alert.message
    for gate in (here, there):
        await gate.close()
    again = await database.open(GateIdentity.of_this_process(started_at=NOW))
    assert again.overruns() == [Raised(candidate=MODEL, thousandths=2_500)]
    await again.close()


async def test_bills_that_ran_together_raise_it_once_and_a_higher_one_from_where_it_was(
    store: Store,
) -> None:
    for n in range(3):
        await store.admit(ask(f"c{n}"))
    for n in range(3):
        await store.settle(make_settlement(f"c{n}.1", cost=200))
    assert store.overruns() == [Raised(candidate=MODEL, thousandths=2_000)]
    await store.admit(ask("c4"))
    await store.settle(make_settlement("c4.1", cost=201))
    assert store.overruns() == [Raised(candidate=MODEL, thousandths=2_010)]


async def test_what_held_nothing_cannot_be_multiplied_and_is_told_all_the_same(
    store: Store,
) -> None:
    await store.admit(ask("c1", nano=0))
    overrun = await store.settle(make_settlement("c1.1", cost=5))
    assert overrun is not None
    assert (overrun.thousandths, store.overruns()) == (None, [])
    assert "nothing can be multiplied" in store.alerts()[0].message


async def test_an_estimate_teaches_nothing(store: Store) -> None:
    await store.admit(ask("c1"))
    assert await store.settle(make_settlement("c1.1", cost=500, estimated=True)) is None
    assert (store.overruns(), store.alerts()) == ([], [])


async def test_a_refusal_says_that_more_is_held_than_usual_and_how_that_ends(store: Store) -> None:
    await store.create_task(make_task("t-u1", budget=400))
    await store.admit(ask("c1", budget=400))
    await store.settle(make_settlement("c1.1", cost=250))
    with pytest.raises(OverBudget, match=r"2\.500 times its bound is held for openai:gpt-5\.5"):
        await store.admit(ask("c2", budget=400))
    assert await store.forget_overrun(MODEL, NOW + 9)
    assert store.alerts(only_open=True) == []
    assert not await store.forget_overrun(MODEL, NOW + 9)
    await store.admit(ask("c3", budget=400))


async def test_what_has_no_bill_is_not_multiplied(store: Store) -> None:
    await store.admit(ask("c1"))
    await store.settle(make_settlement("c1.1", cost=250))
    free = msgspec.structs.replace(ask("c2", task="free"), bill=None)
    assert (await store.admit(free)).reserved is None


async def test_budgets_stand_as_the_ledger_has_them(store: Store) -> None:
    limits = [
        make_limit("gate", "budget_per_day", 1_000),
        make_limit("gate", "per_minute", 9),
        make_limit("user:*", "budget_per_month", 200),
        make_limit("agent:idle", "budget_per_day", 9),
    ]
    await store.load_limits(limits, 1)
    for call, user, cost in (("c1", "u1", 90), ("c2", "u2", 10)):
        await store.admit(ask(call, user=user, budget=100))
        await store.settle(make_settlement(f"{call}.1", cost=cost))
    await store.admit(ask("c3", user="u2", nano=80))
    rows = await store.budgets(windows_of(NOW), least_share=0.4)
    told = [(row.scope, row.rule, row.cap.nano, row.spent.nano, row.held.nano) for row in rows]
    assert told == [
        ("gate", "caps.day", 1_000, 100, 80),
        ("user:u1", "users.budget_per_month", 200, 90, 0),
        ("task:t-u1", "task budget", 100, 90, 0),
    ]
    assert [None if row.window is None else row.window.span for row in rows] == [
        "day", "month", None,
    ]  # fmt: skip


async def test_of_users_without_a_budget_of_their_own_those_are_told_who_have_spent_a_share(
    store: Store,
) -> None:
    limits = [
        make_limit("user:*", "budget_per_day", 100),
        make_limit("user:named", "budget_per_day", 1_000),
        make_limit("user:free", "per_minute", 9),
    ]
    await store.load_limits(limits, 1)
    await store.override(make_override("user:raised", "budget_per_day", 200))
    await store.override(make_override("user:slow", "per_minute", 9))
    spent = {"named": 10, "free": 90, "raised": 90, "slow": 70, "u1": 80, "u2": 79}
    for user, cost in spent.items():
        await store.admit(ask(f"c-{user}", user=user, nano=cost))
        await store.settle(make_settlement(f"c-{user}.1", cost=cost))
    rows = await store.budgets(windows_of(NOW), least_share=0.8)
    assert [(row.scope, row.cap.nano, row.is_everyones) for row in rows] == [
        ("user:named", 1_000, False),
        ("user:raised", 200, False),
        ("user:slow", 100, True),
        ("user:u1", 100, True),
    ]


async def test_a_budget_of_nothing_has_no_shares(store: Store) -> None:
    nothing = [make_limit(scope, "budget_per_day", 0) for scope in ("user:*", "gate")]
    await store.load_limits(nothing, 1)
    await store.admit(ask("c1", nano=0))
    assert await store.budgets(windows_of(NOW), least_share=0.0) == []


async def test_what_every_scope_of_a_kind_has_spent_is_told_at_once(store: Store) -> None:
    for n, user in enumerate(("u1", "u2", "u1", None)):
        await store.admit(ask(f"c{n}", user=user, at=NOW + n))
        await store.settle(make_settlement(f"c{n}.1", cost=10**n))
    by_user = await store.spent_by_scope("user", [NOW, NOW + 1.5])
    assert by_user == {"user:u1": (Money(101), Money(100)), "user:u2": (Money(10), Money(0))}
    assert await store.spent_by_scope("gate", [NOW + 1]) == {"gate": (Money(1_110),)}
    assert await store.spent_by_scope("agent", [NOW + 9]) == {}


async def test_questions_that_take_long_are_answered_beside_the_loop(store: Store) -> None:
    await store.raise_alerts([make_alert("a"), make_alert("b")])
    given_up, first = store.open_alerts(), store.open_alerts()
    given_up.cancel()
    assert names(await first) == ["b", "a"]
    assert given_up.cancelled()


async def test_nobody_is_asked_beside_the_loop_when_the_store_is_closed(database: Database) -> None:
    store = await database.open(None)
    await store.close()
    with pytest.raises(StoreDown, match="it is closed"):
        await store.open_alerts()

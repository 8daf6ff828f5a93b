"""What was spent, told apart by who and what; and who holds money now."""

from __future__ import annotations

import msgspec
import pytest

from callgate.call import Candidate, Usage
from callgate.money import Money
from callgate.store import CallKind, Grouping, Spending, Store
from callgate.store.owners import GateIdentity
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    NOW,
    USAGE,
    make_end,
    make_intent,
    make_limit,
    make_settlement,
    make_task,
    windows_of,
)

DAY = 86_400.0
KINDS: tuple[CallKind, ...] = ("tool", "model")


async def spend(
    store: Store, call: str, cost: int | None, *, task: str = "t1", at: float = NOW, **other: str
) -> None:
    """Have a task make a call that costs so many nano-dollars; None: nobody knows."""
    made = make_task(task, type=other.get("type", "research"), user=other.get("user"))
    model = Candidate(provider="openai", model=other.get("model", "gpt-5.5"))
    nano, kind = None if cost is None else 10_000, other.get("kind", "model")
    intent = make_intent(made, call, nano=nano, sent_at=at, kind=kind)
    await store.admit(msgspec.structs.replace(intent, candidate=model))
    await store.settle(make_settlement(f"{call}.1", cost=cost, end=make_end(call)))


def spent(store: Store, by: Grouping | None, *, since: float = NOW) -> list[Spending]:
    return list(store.spending(by, since=since, until=NOW + 9 * DAY))


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("type", ["research", "mail"]),
        ("model", ["openai:gpt-5.5", "openai:gpt-5"]),
        ("user", [None, "u7"]),
        ("agent", ["researcher"]),
        ("provider", ["openai"]),
        (None, [None]),
    ],
)
async def test_spending_is_told_apart_the_most_first(
    store: Store, by: Grouping | None, names: list[str | None]
) -> None:
    await spend(store, "c1", 500)
    await spend(store, "c2", 40, task="t2", type="mail", user="u7", model="gpt-5")
    told = spent(store, by)
    assert [each.name for each in told] == names
    assert sum(each.cost.nano for each in told) == 540
    assert sum(each.input_tokens for each in told) == 2 * USAGE.total_input_tokens


async def test_tools_are_told_by_their_name_and_are_no_model(store: Store) -> None:
    await spend(store, "c1", 500)
    await spend(store, "c2", 40, kind="tool")
    (tool,), (model,) = (
        store.spending(kind, since=NOW, until=NOW + DAY, kind=kind) for kind in KINDS
    )
    assert (tool.name, tool.cost, model.cost) == ("smart", Money(40), Money(500))


async def test_a_cost_that_nobody_knows_is_counted_and_in_no_sum(store: Store) -> None:
    await spend(store, "c1", 500)
    await spend(store, "c2", None, task="t2")
    (all_of_it,) = spent(store, None)
    assert (all_of_it.tasks, all_of_it.cost, all_of_it.unknown_costs) == (2, Money(500), 1)
    assert (all_of_it.p50, all_of_it.p95, all_of_it.most) == (Money(500),) * 3


async def test_estimates_and_holds_are_told_apart(store: Store) -> None:
    task = make_task()
    await store.admit(make_intent(task, "c1", nano=70, sent_at=NOW))
    await store.settle(make_settlement("c1.1", cost=None))
    await store.admit(make_intent(task, "c2", nano=30, sent_at=NOW))
    (told,) = spent(store, None)
    assert (told.cost, told.estimated, told.held) == (Money(70), Money(70), Money(30))


async def test_percentiles_are_of_whole_tasks(store: Store) -> None:
    for n in range(100):
        for part in range(2):
            await spend(store, f"c{n}.{part}", n + 1, task=f"t{n}")
    (told,) = spent(store, "type")
    assert (told.tasks, told.calls) == (100, 200)
    assert (told.p50, told.p95, told.most) == (Money(100), Money(190), Money(200))


async def test_a_task_that_only_runs_has_no_cost_yet(store: Store) -> None:
    await store.admit(make_intent(make_task(), "c1", sent_at=NOW))
    (told,) = spent(store, "type")
    assert (told.tasks, told.cost, told.p50) == (1, Money(0), None)


async def test_only_attempts_of_the_time_asked_for_are_told(store: Store) -> None:
    await spend(store, "c1", 1, at=NOW - 1)
    await spend(store, "c2", 20, at=NOW)
    await spend(store, "c3", 300, at=NOW + DAY)
    (told,) = store.spending(None, since=NOW, until=NOW + DAY)
    assert told.cost == Money(20)


async def test_days_are_those_of_the_place(store: Store) -> None:
    days = [windows_of(NOW + n * DAY, "Asia/Tokyo")[1] for n in range(2)]
    # 15:00 in UTC is midnight there.
    for n, hour in enumerate((14, 15, 16)):
        await spend(store, f"c{n}", 10**n, at=NOW + hour * 3600)
    told = store.spending("day", since=NOW, until=NOW + DAY, days=days)
    assert [(day.name, day.cost.nano) for day in told] == [
        ("2026-01-01", 1),
        ("2026-01-02", 110),
    ]
    assert list(store.spending("day", since=NOW, until=NOW + DAY)) == []


async def booked(store: Store, *days: int) -> list[tuple[str, str, int, int]]:
    """Return the kinds of what is booked on some days: window, kind, attempts, nano-dollars."""
    windows = [windows_of(NOW + day * DAY)[1] for day in days]
    told = store.booked(windows, providers=["openai"])
    return [(each.window, each.kind, each.attempts, each.cost.nano) for each in told]


async def test_what_is_booked_is_told_by_day_and_by_how_it_stands(store: Store) -> None:
    await spend(store, "c1", 500)
    await spend(store, "c2", 40)
    await spend(store, "c3", None, at=NOW + DAY)
    await store.admit(make_intent(make_task(user=None), "c4", nano=30, sent_at=NOW + DAY))
    assert await booked(store, 0, 1) == [
        ("2026-01-01", "known", 2, 540),
        ("2026-01-02", "running", 1, 0),
        ("2026-01-02", "unknown", 1, 0),
    ]
    assert await booked(store, 1) == (await booked(store, 0, 1))[1:]
    assert await booked(store) == []


async def test_calls_of_tools_are_on_no_bill_of_a_model(store: Store) -> None:
    await spend(store, "c1", 500, kind="tool")
    assert await booked(store, 0) == []


async def test_what_is_booked_is_told_by_who_answered_with_every_bucket(store: Store) -> None:
    await spend(store, "c1", 500)
    await spend(store, "c2", 40, model="gpt-5")
    (first, second) = store.booked(windows_of(NOW)[1:2], providers=["openai"])
    assert (first.model, second.model) == ("gpt-5", "gpt-5.5")
    assert (second.answered_by, second.usage, second.service_tier) == ("gpt-5.5-0101", USAGE, None)
    assert list(store.booked(windows_of(NOW)[1:2], providers=["anthropic"])) == []


async def test_estimates_and_attempts_that_were_not_served_are_booked_apart(store: Store) -> None:
    for call, cost in (("c1", None), ("c2", 0)):
        await store.admit(make_intent(make_task(), call, nano=70, sent_at=NOW))
        settlement = make_settlement(f"{call}.1", cost=cost)
        await store.settle(msgspec.structs.replace(settlement, usage=None))
    (estimated, free) = store.booked(windows_of(NOW)[1:2], providers=["openai"])
    assert (estimated.kind, estimated.cost, estimated.reserved) == (
        "estimated",
        Money(70),
        Money(70),
    )
    assert (free.kind, free.cost, free.usage) == ("free", Money(0), Usage())


async def test_what_a_scope_spent_since_some_instants_is_told_at_once(store: Store) -> None:
    assert store.first_sent_at() is None
    for n, (user, at) in enumerate([("u1", NOW), ("u2", NOW + 60), ("u1", NOW + 120)]):
        await spend(store, f"c{n}", 10**n, task=f"t{n}", user=user, at=at)
    instants = (NOW, NOW + 60, NOW + 61)
    assert [one.nano for one in store.spent_since("gate", instants)] == [111, 110, 100]
    assert [one.nano for one in store.spent_since("user:u1", instants)] == [101, 100, 100]
    assert (store.first_sent_at(), store.users()) == (NOW, ["u1", "u2"])


async def test_who_holds_money_is_told_with_the_gate_that_will_settle_it(
    database: Database, store: Store, clock: FakeClock
) -> None:
    elsewhere = GateIdentity(
        id="gate_x", host="far", place="another", pid=1, pid_started="1", started_at=clock.now()
    )
    other_clock = FakeClock(clock.now())
    other = await database.open(elsewhere, clock=other_clock)
    await other.admit(make_intent(make_task(), "c1", nano=70))
    await store.admit(make_intent(make_task(), "c2", nano=30, sent_at=NOW + 2))
    (first, second) = store.holds()
    assert (first.attempt_id, first.reserved, first.owner_lives) == ("c1.1", Money(70), True)
    assert first.owner is not None
    assert (first.owner.id, second.model) == ("gate_x", "openai:gpt-5.5")
    await other.close()


async def test_a_hold_whose_gate_is_silent_has_no_owner_that_lives(
    database: Database, store: Store, clock: FakeClock
) -> None:
    await store.admit(make_intent(make_task(), "c1", nano=70))
    books = await database.open(None, clock=FakeClock(clock.now() + 3600))
    (hold,) = books.holds()
    assert not hold.owner_lives
    await books.close()


async def test_every_scope_adds_up_while_attempts_run_and_after(store: Store) -> None:
    scopes = ("gate", "agent:researcher", "type:research", "user:u1", "provider:openai")
    await store.load_limits([make_limit(scope, "budget_per_day", 10_000) for scope in scopes], 1)
    for call, n in (("c1", 1), ("c1", 2), ("c2", 1)):
        await store.admit(make_intent(make_task(), call, n=n, nano=70))
        assert store.verify() == []
    await store.settle(make_settlement(cost=40))
    assert store.verify() == []

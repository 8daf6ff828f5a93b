"""What limits hold: changes of them, slots, circles, and tasks below tasks."""

from __future__ import annotations

import msgspec
import pytest

from callgate.errors import Looping, Malformed, OverBudget, OverLimit
from callgate.money import Money
from callgate.store import Intent, Store
from callgate.task import Task
from tests.contract.store.making import (
    NOW,
    make_end,
    make_intent,
    make_limit,
    make_override,
    make_settlement,
    make_task,
)


def alone(id: str, **more: object) -> Task:
    """Return a task that stands below no other."""
    return msgspec.structs.replace(make_task(id), parent=None, **more)


def intent(call: str, task: Task | None = None, **more: object) -> Intent:
    made = make_intent(task or alone("t1"), call, nano=100)
    return msgspec.structs.replace(made, **more)


async def test_an_older_file_never_brings_its_limits_back(store: Store) -> None:
    assert await store.load_limits([make_limit("gate", "per_minute", 1)], 5)
    assert not await store.load_limits([make_limit("gate", "per_minute", 9)], 4)
    await store.admit(intent("c1"))
    with pytest.raises(OverLimit):
        await store.admit(intent("c2"))


async def test_an_override_that_is_lifted_gives_way_to_the_file(store: Store) -> None:
    await store.load_limits([make_limit("gate", "budget_per_day", 100)], 1)
    await store.override(make_override("gate", "budget_per_day", 200))
    await store.admit(intent("c1"))
    await store.admit(intent("c2"))
    assert await store.lift("gate", "budget_per_day")
    assert not await store.lift("gate", "budget_per_day")
    with pytest.raises(OverBudget):
        await store.admit(intent("c3"))


async def test_a_task_whose_budget_is_raised_goes_on_with_the_next_call(store: Store) -> None:
    task = alone("t1", budget=Money(100))
    await store.admit(intent("c1", task))
    with pytest.raises(OverBudget):
        await store.admit(intent("c2", task))
    assert await store.raise_budget("t1", Money(200))
    await store.admit(intent("c3", task))
    assert await store.raise_budget("t1", None)
    await store.admit(intent("c4", task))
    assert not await store.raise_budget("nobody", Money(1))


async def test_a_limit_that_comes_later_counts_the_calls_that_came_before(store: Store) -> None:
    for n in range(3):
        await store.admit(intent(f"c{n}"))
    await store.load_limits([make_limit("gate", "per_hour", 3)], 1)
    with pytest.raises(OverLimit, match="per_hour allows 3"):
        await store.admit(intent("c3"))
    assert list(store.verify()) == []


async def test_an_agent_has_so_many_calls_in_flight_and_no_more(store: Store) -> None:
    await store.load_limits([make_limit("agent:researcher", "concurrency", 1)], 1)
    await store.admit(intent("c1"))
    with pytest.raises(OverLimit, match="concurrency allows 1"):
        await store.admit(intent("c2"))
    await store.settle(make_settlement("c1.1", end=make_end("c1")))
    await store.admit(intent("c2"))


async def test_a_provider_has_so_many_attempts_in_flight(store: Store) -> None:
    await store.load_limits([make_limit("provider:openai", "concurrency", 1)], 1)
    await store.admit(intent("c1"))
    with pytest.raises(OverLimit):
        await store.admit(intent("c2"))
    await store.settle(make_settlement("c1.1"))
    await store.admit(intent("c2"))


@pytest.mark.parametrize("scope", ["gate", "type:research", "user:u1"])
async def test_so_many_tasks_run_at_once(store: Store, scope: str) -> None:
    await store.load_limits([make_limit(scope, "concurrency", 1)], 1)
    await store.admit(intent("c1", alone("t1")))
    await store.admit(intent("c2", alone("t1")))
    with pytest.raises(OverLimit):
        await store.admit(intent("c3", alone("t2")))
    for call in ("c1", "c2"):
        await store.settle(make_settlement(f"{call}.1", end=make_end(call)))
    await store.end_task("t1", NOW + 5)
    await store.admit(intent("c4", alone("t2")))


async def test_a_task_makes_so_many_calls(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_calls", 2)], 1)
    await store.admit(intent("c1"))
    await store.admit(intent("c2"))
    with pytest.raises(Looping, match="has made 2 calls"):
        await store.admit(intent("c3"))


async def test_the_same_call_is_made_so_often(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_repeats", 1)], 1)
    await store.admit(intent("c1", fingerprint=b"a"))
    await store.admit(intent("c2", fingerprint=b"b"))
    with pytest.raises(Looping, match="this very call 1 times"):
        await store.admit(intent("c3", fingerprint=b"a"))


async def test_what_a_task_spends_its_parent_spends_too(store: Store) -> None:
    parent = alone("p", budget=Money(250))
    child = msgspec.structs.replace(alone("c", budget=Money(1_000)), parent="p")
    await store.admit(intent("c1", parent))
    await store.admit(intent("c2", child))
    with pytest.raises(OverBudget) as refused:
        await store.admit(intent("c3", child))
    assert refused.value.reason.scope == "task:p"
    await store.settle(make_settlement("c2.1", cost=40))
    row = store.task_row("p")
    assert row is not None
    assert (row.spent, row.held) == (Money(40), Money(100))
    assert list(store.verify()) == []


async def test_a_parent_that_the_user_does_not_have_is_refused(store: Store) -> None:
    await store.admit(intent("c1", alone("p", user="u2")))
    for parent in ("p", "nobody"):
        child = msgspec.structs.replace(alone("c"), parent=parent)
        with pytest.raises(Malformed, match="its user has no such task") as refused:
            await store.admit(intent("c2", child))
        assert refused.value.reason.code == "parent_mismatch"


async def test_a_task_stands_so_deep(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_depth", 1)], 1)
    await store.admit(intent("c0", alone("t0")))
    await store.admit(intent("c1", msgspec.structs.replace(alone("t1"), parent="t0")))
    with pytest.raises(Looping, match="stands 2 tasks below the first"):
        await store.admit(intent("c2", msgspec.structs.replace(alone("t2"), parent="t1")))


async def test_no_task_stands_deeper_than_can_be_looked_at(store: Store) -> None:
    await store.admit(intent("c0", alone("t0")))
    with pytest.raises(Looping, match="more than 16 tasks below"):
        for n in range(1, 20):
            task = msgspec.structs.replace(alone(f"t{n}"), parent=f"t{n - 1}")
            await store.admit(intent(f"c{n}", task))
    assert store.find_task("t16") is not None
    assert store.find_task("t17") is None

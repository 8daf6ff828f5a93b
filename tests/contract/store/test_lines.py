"""Tasks below tasks: what one costs is paid by its own budget and by each above it."""

from __future__ import annotations

import asyncio

import pytest

from callgate.errors import Looping, Malformed, OverBudget
from callgate.money import Money
from callgate.store import GateIdentity, Grant, Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    ask,
    make_refusal,
    make_settlement,
    make_task,
)
from tests.contract.store.test_admission import balance
from tests.contract.store.test_settlement import call_of


@pytest.fixture
async def family(store: Store) -> Store:
    """A store with a task, one below it, and one below that; the first has a budget."""
    await store.create_task(make_task("first", budget=250))
    await store.create_task(make_task("second", parent="first"))
    await store.create_task(make_task("third", parent="second", agent="helper"))
    return store


async def test_what_a_task_holds_and_costs_is_booked_in_all_above_it(family: Store) -> None:
    third = ask("c1", task="third", agent="helper", parent="second")
    await family.admit(third)
    assert [balance(family, id) for id in ("first", "second", "third")] == [(0, 100)] * 3
    await family.settle(make_settlement("c1.1", cost=70))
    await family.admit(ask("c2", task="second", parent="first"))
    assert [balance(family, id) for id in ("first", "second", "third")] == [
        (70, 100),
        (70, 100),
        (70, 0),
    ]
    assert family.verify() == []


async def test_tasks_below_cannot_spend_more_than_the_one_above(family: Store) -> None:
    asked = [
        ask(f"c{n}", task="third", agent="helper", parent="second", nano=60)
        if n % 2
        else ask(f"c{n}", task="second", parent="first", nano=60)
        for n in range(20)
    ]
    answers = await asyncio.gather(*map(family.admit, asked), return_exceptions=True)
    assert sum(isinstance(answer, Grant) for answer in answers) == 4
    with pytest.raises(OverBudget, match="of task first") as refused:
        await family.admit(ask("more", task="first", nano=11))
    assert refused.value.reason.scope == "task:first"
    assert balance(family, "first") == (0, 240)
    assert family.verify() == []


async def test_the_least_of_all_budgets_of_a_line_decides(store: Store) -> None:
    await store.create_task(make_task("first", budget=1_000))
    await store.create_task(make_task("second", budget=100, parent="first"))
    await store.admit(ask("c1", task="second", parent="first", nano=80))
    with pytest.raises(OverBudget) as refused:
        await store.admit(ask("c2", task="second", parent="first", nano=21))
    assert refused.value.reason.scope == "task:second"
    assert "task first" not in refused.value.message
    await store.admit(ask("c3", task="first", nano=920))
    with pytest.raises(OverBudget, match="of task first"):
        await store.admit(ask("c4", task="second", parent="first", nano=1))


async def test_more_for_the_first_is_more_for_all_below(family: Store) -> None:
    with pytest.raises(OverBudget):
        await family.admit(ask("c1", task="third", agent="helper", parent="second", nano=300))
    await family.raise_budget("first", Money(300))
    await family.admit(ask("c2", task="third", agent="helper", parent="second", nano=300))


async def test_a_dead_gates_attempt_is_spent_in_the_whole_line(
    database: Database, clock: FakeClock
) -> None:
    lost = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    await lost.create_task(make_task("first"))
    await lost.admit(ask("c1", task="second", parent="first"))
    await lost.close()
    store = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    assert (balance(store, "first"), balance(store, "second")) == ((100, 0), (100, 0))
    assert store.verify() == []
    await store.close()


async def test_calls_are_those_of_the_task_itself(family: Store) -> None:
    await family.admit(ask("c1", task="second", parent="first"))
    rows = {row.task.id: row.calls for row in family.tasks()}
    assert rows == {"first": 0, "second": 1, "third": 0}


@pytest.mark.parametrize(
    ("parent", "user"), [("nobody's", "u1"), ("first", "u2"), ("first", None), ("new", "u1")]
)
async def test_a_parent_that_its_user_does_not_have_is_refused(
    family: Store, parent: str, user: str | None
) -> None:
    task = make_task("new", parent=parent, user=user)
    for asked in (
        family.create_task(task),
        family.admit(ask("c1", task="new", parent=parent, user=user)),
    ):
        with pytest.raises(Malformed, match="its user has no such task") as refused:
            await asked
        assert (refused.value.status, refused.value.reason.code) == (400, "parent_mismatch")
    assert family.find_task("new") is None


async def test_the_refusal_of_such_a_task_is_recorded_without_the_task(family: Store) -> None:
    await family.refuse(make_refusal("c1", task=make_task("new", parent="nobody's")))
    assert (call_of(family, "c1").state, call_of(family, "c1").task_id) == ("refused", "new")
    assert family.find_task("new") is None


async def test_a_refused_task_below_another_is_stored_below_it(family: Store) -> None:
    await family.refuse(make_refusal("c1", task=make_task("new", parent="third")))
    new = family.find_task("new")
    assert new is not None
    assert new.parent == "third"


async def test_no_line_is_longer_than_sixteen(store: Store) -> None:
    await store.create_task(make_task("t0"))
    for n in range(16):
        await store.create_task(make_task(f"t{n + 1}", parent=f"t{n}"))
    with pytest.raises(Looping, match="more than 16 tasks below the first") as refused:
        await store.create_task(make_task("t17", parent="t16"))
    assert (refused.value.reason.code, refused.value.reason.limit) == ("max_depth", 16)
    await store.admit(ask("c1", task="t16", parent="t15"))
    assert balance(store, "t0") == (0, 100)


async def test_a_call_that_does_not_name_the_stored_parent_draws_from_it_all_the_same(
    store: Store,
) -> None:
    await store.create_task(make_task("above", budget=500))
    await store.admit(ask("c1", task="below", parent="above"))
    await store.admit(ask("c2", task="below"))
    above = store.task_row("above")
    assert above is not None
    assert above.held.nano == 200
    for call in ("c1", "c2"):
        await store.settle(make_settlement(f"{call}.1"))
    assert list(store.verify()) == []

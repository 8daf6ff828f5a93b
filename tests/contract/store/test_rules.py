"""Which limits hold: those of the newest settings file, and overrides before them."""

from __future__ import annotations

from typing import Final

import pytest

from callgate.errors import OverBudget
from callgate.store import GateIdentity, Store
from callgate.store.limits import Limit
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database
from tests.contract.store.making import NOW, ask, make_limit, make_override, windows_of

DAY: Final = "budget_per_day"


def values(store: Store) -> dict[str, int]:
    """Return the values that hold, by scope."""
    return {row.limit.scope: row.limit.value for row in store.limits() if row.holds}


async def test_a_files_limits_are_listed_as_it_says_them(store: Store) -> None:
    limits = [make_limit("gate", "per_minute", 5, waits=True), make_limit("user:*", DAY, 7)]
    assert await store.load_limits(limits, 1)
    assert sorted((row.limit for row in store.limits()), key=lambda one: one.scope) == limits


async def test_an_older_file_never_overwrites_a_newer_one(
    store: Store, database: Database, clock: FakeClock
) -> None:
    older = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    assert await store.load_limits([make_limit("gate", DAY, 100)], 20)
    assert not await older.load_limits([make_limit("gate", DAY, 900)], 19)
    assert (values(store), values(older)) == ({"gate": 100}, {"gate": 100})
    with pytest.raises(OverBudget):
        await older.admit(ask("c1", nano=101))
    await older.close()


async def test_a_newer_file_takes_away_what_it_does_not_say_any_more(store: Store) -> None:
    await store.load_limits([make_limit("gate", DAY, 100), make_limit("user:*", DAY, 50)], 1)
    assert await store.load_limits([make_limit("gate", DAY, 90)], 2)
    assert values(store) == {"gate": 90}
    assert await store.load_limits([], 2)
    assert values(store) == {}
    await store.admit(ask("c1", nano=10_000))


async def test_a_file_that_was_loaded_empty_is_newer_than_one_that_was_not(store: Store) -> None:
    assert await store.load_limits([], 5)
    assert not await store.load_limits([make_limit("gate", DAY, 1)], 4)
    assert values(store) == {}


async def test_a_new_file_leaves_overrides_as_they_are(store: Store) -> None:
    await store.override(make_override("gate", DAY, 300))
    await store.load_limits([make_limit("gate", DAY, 100), make_limit("user:*", DAY, 50)], 1)
    assert values(store) == {"gate": 300, "user:*": 50}
    await store.load_limits([], 2)
    assert values(store) == {"gate": 300}


async def test_an_override_stands_where_the_file_says_nothing_and_is_replaced_by_the_next(
    store: Store,
) -> None:
    await store.override(make_override("agent:researcher", DAY, 300))
    await store.override(make_override("agent:researcher", DAY, 100))
    with pytest.raises(OverBudget, match=r"agents\.researcher\.budget_per_day"):
        await store.admit(ask("c1", nano=101))
    assert [row.limit.value for row in store.limits()] == [100]


async def test_what_is_lifted_holds_no_more_and_the_file_does_again(store: Store) -> None:
    await store.load_limits([make_limit("gate", DAY, 100)], 1)
    await store.override(make_override("gate", DAY, 300, until=NOW + 60))
    assert await store.lift("gate", DAY)
    assert values(store) == {"gate": 100}
    assert not await store.lift("gate", DAY)
    assert not await store.lift("gate", "per_minute")
    with pytest.raises(OverBudget):
        await store.admit(ask("c1", nano=101))


async def test_an_override_that_has_ended_is_listed_as_one_that_does_not_hold(
    store: Store, clock: FakeClock
) -> None:
    await store.load_limits([make_limit("gate", DAY, 100)], 1)
    override = make_override("gate", DAY, 300, until=NOW + 60)
    await store.override(override)
    assert values(store) == {"gate": 300}
    clock.advance(60)
    listed = {row.limit: row.holds for row in store.limits()}
    assert listed == {make_limit("gate", DAY, 100): True, override: False}


async def test_an_override_of_every_user_holds_for_those_whom_the_file_does_not_name(
    store: Store,
) -> None:
    limits = [make_limit("user:*", DAY, 100), make_limit("user:u2", DAY, 100)]
    await store.load_limits(limits, 1)
    await store.override(make_override("user:*", DAY, 200))
    await store.admit(ask("c1", user="u1", nano=200))
    with pytest.raises(OverBudget):
        await store.admit(ask("c2", user="u2", nano=200))


@pytest.mark.parametrize("scope", ["gate", "agent:researcher", "type:research", "user:u1"])
@pytest.mark.parametrize("change", ["load", "override", "lift", "end"])
async def test_every_change_holds_by_the_next_call_in_every_gate(
    store: Store, database: Database, clock: FakeClock, scope: str, change: str
) -> None:
    other = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    await store.load_limits([make_limit(scope, DAY, 100)], 1)
    if change in {"lift", "end"}:
        await store.override(make_override(scope, DAY, 1, until=NOW + 50))
    with pytest.raises(OverBudget):
        await other.admit(ask("c1", nano=101))
    if change == "load":
        await store.load_limits([make_limit(scope, DAY, 101)], 2)
    elif change == "override":
        await store.override(make_override(scope, DAY, 101))
    elif change == "lift":
        await store.lift(scope, DAY)
    await other.admit(ask("c2", nano=100, at=NOW + 50))
    await other.close()


async def test_limits_survive_a_restart(database: Database, clock: FakeClock) -> None:
    first = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    kept: list[Limit] = [make_limit("gate", DAY, 100), make_override("gate", DAY, 50, NOW + 9)]
    await first.load_limits(kept[:1], 7)
    await first.override(kept[1])
    await first.close()
    again = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    assert sorted((row.limit for row in again.limits()), key=lambda one: one.value) == kept[::-1]
    assert not await again.load_limits([], 6)
    await again.close()


async def test_what_each_task_has_of_its_own_is_not_told_for_all(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_calls", 5)], 1)
    await store.admit(ask("c1"))
    (row,) = store.limits(windows_of(NOW + 1))
    assert (row.holds, row.used) == (True, None)

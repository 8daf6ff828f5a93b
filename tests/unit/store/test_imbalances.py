"""A ledger that is not what its attempts add up to is found, and a busy one is no such ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest

from callgate.money import Money
from callgate.store import GateIdentity, Store
from callgate.store.imbalances import imbalances
from callgate.store.sqlite import FileBooks, SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW, make_intent, make_limit, make_settlement, make_task

DAY = "day 2026-01-01 UTC"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[Store]:
    """A store with one attempt that cost 40 and one that holds 100, and a budget for each day."""
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(path, clock=FakeClock(NOW), gate=gate)
    await store.load_limits([make_limit("gate", "budget_per_day", 10_000)], 1)
    for call in ("c1", "c2"):
        await store.admit(make_intent(make_task(), call))
    await store.settle(make_settlement(cost=40))
    yield store
    await store.close()


def tamper(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


async def test_a_ledger_that_adds_up_has_no_difference(store: Store) -> None:
    assert store.verify() == []


@pytest.mark.parametrize(
    ("wrong", "ledger"),
    [
        ("UPDATE ledger SET spent_nano = 41 WHERE scope = 'gate'", (41, 100, 2)),
        ("UPDATE ledger SET held_nano = 0 WHERE scope = 'gate'", (40, 0, 2)),
        ("UPDATE ledger SET calls = 3 WHERE scope = 'gate'", (40, 100, 3)),
    ],
)
async def test_each_number_of_a_window_is_compared(
    store: Store, path: Path, wrong: str, ledger: tuple[int, int, int]
) -> None:
    tamper(path, wrong)
    (found,) = store.verify()
    assert (found.scope, found.window) == ("gate", DAY)
    assert (found.spent.nano, found.held.nano, found.calls) == ledger
    told = (found.attempts_spent.nano, found.attempts_held.nano, found.attempts_calls)
    assert told == (40, 100, 2)


async def test_a_task_is_compared_and_one_without_a_ledger_is_found(
    store: Store, path: Path
) -> None:
    tamper(path, "UPDATE ledger SET spent_nano = 39 WHERE scope = 'task:t1'")
    (found,) = store.verify()
    assert (found.scope, found.spent, found.attempts_spent) == ("task:t1", Money(39), Money(40))
    tamper(path, "DELETE FROM ledger WHERE scope = 'task:t1'")
    (found,) = store.verify()
    assert (found.window, found.spent, found.attempts_held) == ("all", Money(0), Money(100))


async def test_a_meter_without_attempts_and_attempts_without_a_meter_are_found(
    store: Store, path: Path
) -> None:
    tamper(path, "UPDATE ledger SET scope = 'agent:nobody' WHERE scope = 'gate'")
    extra, missing = sorted(store.verify(), key=lambda found: found.scope)
    assert (extra.scope, extra.spent, extra.attempts_calls) == ("agent:nobody", Money(40), 0)
    assert (missing.scope, missing.calls, missing.attempts_spent) == ("gate", 0, Money(40))


@pytest.mark.usefixtures("store")
async def test_what_is_written_meanwhile_is_no_difference(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # As soon as the meters have been read, the attempts change.
        connection.set_trace_callback(
            lambda sql: (
                tamper(path, "UPDATE attempts SET cost_nano = cost_nano + 1")
                if "FROM windows" in sql
                else None
            )
        )
        books = FileBooks(connection)
        assert books.ask(imbalances, at_once=True) == []
        found = books.ask(imbalances, at_once=True)
        assert [imbalance.attempts_spent for imbalance in found] == [Money(41)] * 2

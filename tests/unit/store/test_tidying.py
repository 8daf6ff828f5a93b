"""What piles up is deleted when nothing can need it, and only then; a look into the file tells."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest

from callgate.errors import OverBudget
from callgate.store import GateIdentity, Store, rates
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW, ask, make_limit, make_settlement


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def store(path: Path, clock: FakeClock) -> AsyncGenerator[Store]:
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(path, clock=clock, gate=gate)
    yield store
    await store.close()


def rows(path: Path, sql: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [str(row[0]) for row in connection.execute(sql).fetchall()]


def meters(path: Path) -> list[str]:
    return rows(path, 'SELECT scope || " " || "window" FROM ledger WHERE ends_at > 0 ORDER BY 1')


def edition(path: Path) -> list[str]:
    return rows(path, "SELECT edition FROM limits_state")


async def beat(store: Store, clock: FakeClock, seconds: float) -> None:
    clock.advance(seconds)
    await store.end_task("nobody", NOW)
    await store.end_task("nobody", NOW)


async def test_a_window_is_kept_for_an_hour_after_its_end(
    store: Store, path: Path, clock: FakeClock
) -> None:
    limits = [
        make_limit("user:*", "budget_per_hour", 500),
        make_limit("gate", "budget_per_day", 500),
    ]
    await store.load_limits(limits, 1)
    await store.admit(ask("c1"))
    hour, day = "user:u1 hour 2026-01-01T00:00+00:00 UTC", "gate day 2026-01-01 UTC"
    assert meters(path) == [day, hour]
    await beat(store, clock, 7_200)
    assert meters(path) == [day, hour]
    await beat(store, clock, 5)
    assert (meters(path), store.verify()) == ([day], [])
    await store.settle(make_settlement("c1.1", cost=40))
    assert store.verify() == []


async def test_a_clock_that_is_set_back_into_a_forgotten_window_finds_what_it_held(
    store: Store, path: Path, clock: FakeClock
) -> None:
    await store.load_limits([make_limit("gate", "budget_per_hour", 150)], 1)
    await store.admit(ask("c1"))
    await beat(store, clock, 7_205)
    assert meters(path) == []
    with pytest.raises(OverBudget):
        await store.admit(ask("c2", at=NOW + 2))
    assert store.verify() == []


async def test_a_window_that_a_refused_call_began_stays_begun(store: Store, path: Path) -> None:
    await store.admit(ask("c0"))
    await store.load_limits([make_limit("gate", "budget_per_day", 99)], 1)
    before = edition(path)
    with pytest.raises(OverBudget):
        await store.admit(ask("c1"))
    begun = edition(path)
    assert (meters(path), begun == before) == (["gate day 2026-01-01 UTC"], False)
    with pytest.raises(OverBudget):
        await store.admit(ask("c2"))
    assert edition(path) == begun


async def test_nothing_changes_where_a_file_says_the_same_again(store: Store, path: Path) -> None:
    limits = [make_limit("gate", "budget_per_day", 99), make_limit("user:*", "per_hour", 5)]
    await store.load_limits(limits, 1)
    before = edition(path)
    assert await store.load_limits(limits[::-1], 2)
    assert edition(path) == before
    assert rows(path, "SELECT revision FROM limits_state") == ["2"]
    assert await store.load_limits(limits[:1], 3)
    assert edition(path) != before


async def test_ticks_of_those_who_never_come_back_are_deleted_a_few_at_a_time(
    store: Store, path: Path
) -> None:
    await store.load_limits([make_limit("user:*", "per_hour", 5)], 1)
    for user in "abcde":
        await store.admit(ask(user, user=user, at=NOW if user != "d" else NOW + 1))
    last, left = "", "SELECT DISTINCT scope FROM ticks ORDER BY 1"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        cursor = connection.cursor()
        assert rates.forget_idle(cursor, "", NOW + 7_200, scopes=9) == ""
        assert len(rows(path, left)) == 5
        for seen in ("user:b", "user:d", ""):
            last = rates.forget_idle(cursor, last, NOW + 7_201, scopes=2)
            assert last == seen
    assert rows(path, left) == ["user:d"]


async def test_the_heartbeat_deletes_them(store: Store, path: Path, clock: FakeClock) -> None:
    await store.load_limits([make_limit("user:*", "per_hour", 5)], 1)
    await store.admit(ask("c1", at=clock.now()))
    await beat(store, clock, 7_200)
    assert len(rows(path, "SELECT n FROM ticks")) == 1
    await beat(store, clock, 5)
    assert rows(path, "SELECT n FROM ticks") == []


async def test_no_more_ticks_are_kept_than_a_rate_looks_back_on_and_a_few(
    store: Store, path: Path
) -> None:
    await store.load_limits([make_limit("gate", "per_minute", 10)], 1)
    for n in range(100):
        await store.admit(ask(f"c{n}", at=NOW + n * 30))
    assert 10 <= len(rows(path, "SELECT n FROM ticks")) < 26

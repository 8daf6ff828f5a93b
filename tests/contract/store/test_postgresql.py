"""What only a server does: it goes away, answers late or never, and has a clock of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from callgate.config.policies import GatePolicy
from callgate.errors import Misconfigured, StoreDown
from callgate.money import Money
from callgate.store import GateIdentity
from callgate.store.opening import open_store
from callgate.store.postgresql import PostgresqlStore
from callgate.store.postgresql.books import ServerBooks
from callgate.store.postgresql.connection import BEGIN, ServerSession, connect
from callgate.store.sql import Cursor
from callgate.testing.clocks import FakeClock
from callgate.testing.fakes import Answer
from tests.contract.store.making import (
    NOW,
    make_intent,
    make_key,
    make_refusal,
    make_settlement,
    make_task,
)
from tests.contract.store.places import also, new_schema, server
from tests.contract.store.test_admission import balance
from tests.contract.store.wire import cut_wire
from tests.unit.pipeline.road import open_road

NOWHERE = "postgresql://callgate@/callgate?host=/nowhere"
LOSE = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.fixture
def url() -> Iterator[str]:
    """A schema, and a name by which its connections are found."""
    with new_schema() as url:
        yield f"{url}&application_name={uuid4().hex}"


@asynccontextmanager
async def opened(url: str, *, busy_seconds: float = 5.0) -> AsyncGenerator[PostgresqlStore]:
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await PostgresqlStore.open(url, clock=FakeClock(), gate=gate, busy_seconds=busy_seconds)
    yield store
    await store.close()


def ask(store: PostgresqlStore, sql: str) -> asyncio.Future[object]:
    """Have the writer's connection answer a question, in a transaction with what else waits."""

    def question(cursor: Cursor, _: None) -> object:
        return cursor.execute(sql).fetchone()[0]

    return store._writer.submit(question, None)  # pyright: ignore[reportPrivateUsage]


def end_connections(url: str) -> int:
    """End every connection of a store, as a restart of the server does; return how many."""
    name = url.rpartition("=")[2]
    sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(server(), autocommit=True) as other:
        return len(other.execute(sql, (name,)).fetchall())


async def test_a_server_that_was_restarted_is_found_again(url: str) -> None:
    async with opened(url) as store:
        await store.admit(make_intent(make_task(budget=1_000)))
        assert balance(store) == (0, 100)
        assert end_connections(url) == 2
        assert balance(store) == (0, 100)
        await store.admit(make_intent(make_task(budget=1_000), "c2"))
        assert balance(store) == (0, 200)


async def test_a_connection_that_is_lost_in_a_transaction_takes_all_of_it(url: str) -> None:
    async with opened(url) as store:
        admitted = store.admit(make_intent(make_task(budget=1_000)))
        lost = ask(store, LOSE)
        with pytest.raises(StoreDown, match="terminating connection"):
            await lost
        with pytest.raises(StoreDown, match="no call runs without a record"):
            await admitted
        await store.admit(make_intent(make_task(budget=1_000), "c2"))
        assert (balance(store), store.verify()) == ((0, 100), [])


async def test_a_server_that_cannot_be_reached_is_store_down() -> None:
    with pytest.raises(StoreDown, match="look whether the server runs"):
        await open_store(NOWHERE, clock=FakeClock(), gate=None)


def test_a_read_that_cannot_connect_does_not_try_again_at_once() -> None:
    clock = FakeClock()
    books = ServerBooks(partial(connect, NOWHERE, busy_seconds=1), clock)
    for expected in ("/nowhere", "a moment ago"):
        with pytest.raises(StoreDown, match=expected):
            books.ask(Cursor.fetchall)
    clock.advance(1)
    with pytest.raises(StoreDown, match="/nowhere"):
        books.ask(Cursor.fetchall)


def test_a_read_that_is_wrong_is_store_down(url: str) -> None:
    books = ServerBooks(partial(connect, url, busy_seconds=1), FakeClock())
    for at_once in (False, True):
        with pytest.raises(StoreDown, match="nothing_here"):
            books.ask(lambda cursor: cursor.execute("SELECT nothing_here"), at_once=at_once)
    books.close()


@pytest.mark.parametrize("reaches", [True, False], ids=["committed", "not committed"])
async def test_a_commit_without_an_answer_is_asked_about(
    url: str, tmp_path: Path, *, reaches: bool
) -> None:
    async with cut_wire(url, tmp_path) as wire, opened(wire.url) as store:
        await store.create_task(make_task(budget=1_000))
        wire.cuts = "after" if reaches else "before"
        admitted = store.admit(make_intent(make_task(budget=1_000)))
        if reaches:
            assert (await admitted).reserved == Money(100)
        else:
            with pytest.raises(StoreDown):
                await admitted
        books = await PostgresqlStore.open(url, clock=FakeClock(), gate=None)
        assert balance(books) == (0, 100 * reaches)
        await books.close()


@pytest.mark.parametrize("reaches", [True, False], ids=["committed", "not committed"])
async def test_an_admission_that_nobody_was_told_of_is_taken_back(
    url: str, tmp_path: Path, *, reaches: bool
) -> None:
    async with cut_wire(url, tmp_path) as wire, opened(wire.url) as store, opened(url) as books:
        await store.create_task(make_task(budget=1_000))
        wire.cuts, wire.meanwhile = "after" if reaches else "before", wire.fail
        with pytest.raises(StoreDown):
            await store.admit(make_intent(make_task()))
        assert balance(books) == (0, 100 * reaches)
        wire.is_down = False
        await store.admit(make_intent(make_task(), "c2"))
        assert (balance(books), books.verify()) == ((0, 100), [])
        ends = [(call.state, call.code, call.attempts[0].state) for call in books.calls()]
        assert ends[1:] == [("refused", "store_down", "failed")] * reaches


async def test_a_settlement_that_nobody_was_told_of_is_settled_once(
    url: str, tmp_path: Path
) -> None:
    async with cut_wire(url, tmp_path) as wire, opened(wire.url) as store:
        await store.admit(make_intent(make_task(budget=1_000)))
        wire.cuts = "after"
        with pytest.raises(StoreDown):
            await store.settle(make_settlement(cost=60))
        await store.settle(make_settlement(cost=60))
        async with opened(url) as books:
            assert (balance(books), books.verify()) == ((60, 0), [])


async def test_a_gate_that_stops_in_a_transaction_does_not_stop_the_others(url: str) -> None:
    stopped = ServerSession(connect(url, busy_seconds=0.1), busy_seconds=0.1)
    stopped.begin()
    async with opened(url) as store:
        await store.admit(make_intent(make_task()))
    with pytest.raises(psycopg.Error, match="idle-in-transaction timeout"):
        stopped.commit()
    stopped.close()


async def test_who_waits_too_long_for_another_gate_finds_the_store_down(url: str) -> None:
    async with opened(url, busy_seconds=0.1) as store:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(BEGIN)
            with pytest.raises(StoreDown, match="lock timeout"):
                await store.admit(make_intent(make_task()))
        await store.admit(make_intent(make_task()))


async def test_a_write_that_breaks_a_rule_of_the_tables_fails_alone(url: str) -> None:
    async with opened(url) as store:
        first, again, task = (
            store.create_key(make_key()),
            store.create_key(make_key()),
            store.create_task(make_task()),
        )
        with pytest.raises(psycopg.IntegrityError):
            await again
        await asyncio.gather(first, task)
        assert (len(store.keys()), store.find_task("t1")) == (1, make_task())


async def test_a_name_with_a_character_that_the_server_does_not_take_is_kept(url: str) -> None:
    async with opened(url) as store:
        await store.refuse(make_refusal("c1", task=make_task("a\0b", user="100%?")))
        assert [row.task.id for row in store.tasks()] == ["a\N{REPLACEMENT CHARACTER}b"]
        assert store.users() == ["100%?"]


async def test_commits_are_safe_where_the_role_has_them_otherwise(url: str) -> None:
    unsafe = url.replace("options=", "options=-csynchronous_commit%3Doff%20")
    async with opened(unsafe) as store:
        assert await ask(store, "SELECT current_setting('synchronous_commit')") == "on"


async def test_the_time_is_the_databases(url: str) -> None:
    clock, instant = FakeClock(), "SELECT extract(epoch FROM clock_timestamp())::float8"
    with psycopg.connect(url, autocommit=True) as other:
        (before,) = other.execute(instant).fetchone() or (None,)
        gate = GateIdentity.of_this_process(started_at=NOW)
        store = await open_store(url, clock=clock, gate=gate)
        (after,) = other.execute(instant).fetchone() or (None,)
    assert before is not None
    assert after is not None
    assert before <= store.clock.now() <= after
    (row,) = store.gates()
    assert before - 0.001 <= row.beat_at <= after
    monotonic = store.clock.monotonic()
    await store.clock.sleep(2)
    assert (store.clock.monotonic(), clock.waits) == (monotonic + 2, [2])
    await store.close()


async def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    async with opened(url):
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("UPDATE callgate_version SET version = 99")
    with pytest.raises(Misconfigured, match="has store version 99"):
        await open_store(url, clock=FakeClock(), gate=None)


async def test_a_schema_of_another_program_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE tasks (id INTEGER)")
    with pytest.raises(Misconfigured, match="schema is this user's own"):
        await open_store(url, clock=FakeClock(), gate=None)


@pytest.mark.slow
async def test_a_database_without_unicode_is_refused() -> None:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server(), autocommit=True) as other:
        create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'"
        other.execute(create.encode())
        try:
            place = also(server(), dbname=name)
            with pytest.raises(Misconfigured, match="writes SQL_ASCII"):
                await open_store(place, clock=FakeClock(), gate=None)
        finally:
            other.execute(f"DROP DATABASE {name}".encode())


async def test_two_stores_of_one_database_do_not_wait_for_each_other(url: str) -> None:
    with new_schema() as beside, psycopg.connect(beside, autocommit=True) as other:
        other.execute(BEGIN)
        async with opened(url, busy_seconds=0.1) as store:
            await store.admit(make_intent(make_task()))


async def test_a_gate_opens_its_store_on_a_server_and_goes_by_its_time(
    url: str, tmp_path: Path
) -> None:
    async with open_road(tmp_path, Answer(), gate=GatePolicy(store=url)) as road:
        await road.ask()
        assert road.gate.clock is road.store.clock
        (call,) = road.store.calls()
        assert (call.state, call.attempts[0].sent_at > NOW + 86_400) == ("ok", True)
        assert road.store.verify() == []


async def test_a_missing_driver_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "callgate.store.postgresql", None)
    with pytest.raises(Misconfigured, match=r"pip install 'callgate\[postgresql\]'"):
        await open_store(NOWHERE, clock=FakeClock(), gate=None)


def test_a_wrong_statement_of_the_house_is_trouble_and_no_answer(url: str) -> None:
    session = ServerSession(connect(url, busy_seconds=1), busy_seconds=1)
    with pytest.raises(psycopg.Error) as wrong:
        session.cursor.execute("SELECT nothing_here")
    assert session.is_trouble(wrong.value)
    assert not session.is_trouble(LookupError())
    session.close()

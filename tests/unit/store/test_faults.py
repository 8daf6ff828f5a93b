"""A file that is full, locked, read-only, broken or gone: refused, told, and taken up again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from callgate.errors import CallgateError, Misconfigured, StoreDown
from callgate.store import GateIdentity, schema
from callgate.store.aside import Aside
from callgate.store.file import PARTS, OpenedFile
from callgate.store.reads import Reader
from callgate.store.sqlite import FileBooks, SqliteStore
from callgate.store.writer import Opened, Writer
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW, make_intent, make_settlement, make_task
from tests.contract.store.test_admission import balance
from tests.unit.store.faults import FOR_ITSELF, locked, read_only, small_disk


@asynccontextmanager
async def open_store(path: Path, *, busy_seconds: float = 0.05) -> AsyncGenerator[SqliteStore]:
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(path, clock=FakeClock(), gate=gate, busy_seconds=busy_seconds)
    yield store
    await store.close()


def parts(path: Path) -> list[Path]:
    return [Path(f"{path}{part}") for part in PARTS]


async def admit_until_it_is_down(store: SqliteStore) -> int:
    """Admit calls until the store refuses one; return how many it granted."""
    granted = 0
    with pytest.raises(StoreDown, match=r"is full.* look at free space"):
        while True:
            await store.admit(make_intent(make_task(), f"{granted}"))
            granted += 1
    return granted


async def test_a_full_file_grants_nothing_that_it_cannot_record(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connection = schema.connect(path)

    def connect() -> Opened:
        schema.prepare(connection, path)
        connection.execute("PRAGMA max_page_count = 40")
        return Opened(connection, OpenedFile(path).is_there)

    writer = Writer(connect, busy_seconds=0.0)
    await writer.open()
    reader = Reader(FileBooks(schema.connect(path)))
    aside = Aside(FileBooks(schema.connect(path)))
    store = SqliteStore(
        writer, reader, aside=aside, clock=FakeClock(), heartbeat=None, owner="gate"
    )
    granted = await admit_until_it_is_down(store)
    assert granted == len(store.calls(limit=None)) > 0
    assert balance(store) == (0, 100 * granted)
    connection.execute("PRAGMA max_page_count = 1000")
    await store.admit(make_intent(make_task(), "again"))
    assert (balance(store), store.verify()) == ((0, 100 * granted + 100), [])
    await store.close()


async def test_a_full_disk_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        async with open_store(tmp_path / "store.db") as store:
            await store.admit(make_intent(make_task(), "first"))
            disk.fill()
            granted = await admit_until_it_is_down(store)
            assert granted + 1 == len(store.calls(limit=None))
            disk.free()
            await store.settle(make_settlement("first.1"))
            await store.admit(make_intent(make_task(), "last"))
            assert (balance(store), store.verify()) == ((40, 100 * granted + 100), [])


async def test_a_store_locked_by_another_process_refuses_until_it_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        await store.create_task(make_task())
        with locked(path):
            with pytest.raises(StoreDown, match=r"is locked.* who else has the file open"):
                await store.admit(make_intent(make_task()))
            assert store.find_task("t1") == make_task()
            assert store.find_call("c1") is None
        await store.admit(make_intent(make_task()))


async def test_a_lock_that_is_short_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path, busy_seconds=30) as store:
        with locked(path):
            admitted = store.admit(make_intent(make_task()))
        await admitted
        assert balance(store) == (0, 100)


async def test_a_locked_store_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path):
        pass
    with locked(path), pytest.raises(StoreDown, match="database is locked"):
        async with open_store(path):
            pass
    with locked(path, FOR_ITSELF), pytest.raises(Misconfigured, match=r"is locked.* who else"):
        async with open_store(path):
            pass


async def test_a_read_only_file_is_not_opened_by_a_gate(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path):
        pass
    with read_only(path), pytest.raises(StoreDown, match="readonly database"):
        async with open_store(path):
            pass


async def test_an_empty_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    with read_only(path), pytest.raises(Misconfigured, match="readonly database"):
        async with open_store(path):
            pass


async def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path):
        pass
    with read_only(tmp_path):
        with pytest.raises(CallgateError, match=r"readonly database|unable to open"):
            async with open_store(path):
                pass
        with pytest.raises(Misconfigured, match=r"cannot be made: .*; name a file in a folder"):
            async with open_store(tmp_path / "other.db"):
                pass


async def test_a_broken_file_is_refused_and_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        await store.admit(make_intent(make_task()))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xaa" * (len(whole) - 4096))
    broken = path.read_bytes()
    with pytest.raises(CallgateError, match="malformed"):
        async with open_store(path):
            pass
    assert path.read_bytes() == broken


@pytest.mark.parametrize("part", range(3))
async def test_a_file_deleted_under_a_running_gate_takes_nothing_more(
    tmp_path: Path, part: int
) -> None:
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        await store.admit(make_intent(make_task()))
        parts(path)[part].unlink()
        with pytest.raises(StoreDown, match=r"was moved or deleted.* or restart the gate"):
            await store.admit(make_intent(make_task(), "c2"))
        with pytest.raises(StoreDown):
            await store.settle(make_settlement())


async def test_a_new_file_in_the_old_ones_place_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        moved = [part.rename(tmp_path / f"old {part.name}") for part in parts(path)]
        async with open_store(path) as other:
            await other.create_task(make_task())
            with pytest.raises(StoreDown):
                await store.create_task(make_task("t2"))
        for part, place in zip(parts(path), moved, strict=True):
            place.rename(part)
        await store.create_task(make_task("t3"))
        assert [row.task.id for row in store.tasks()] == ["t3"]


OPEN_AND_ASK = """
import asyncio, sys
from pathlib import Path
from callgate.clock import SystemClock
from callgate.store.sqlite import FileBooks, SqliteStore

connections = []
sys.addaudithook(lambda event, a: event == "sqlite3.connect/handle" and connections.append(a[0]))

async def ask(path, **asked):
    store = await SqliteStore.open(Path(path), clock=SystemClock(), gate=None, **asked)
    print(*(each.execute("PRAGMA synchronous").fetchone()[0] for each in connections))
    await store.close()

asyncio.run(ask(sys.argv[1], **dict(pair.split("=") for pair in sys.argv[2:])))
"""


@pytest.mark.parametrize(("asked", "levels"), [([], "2 2 2"), (["synchronous=NORMAL"], "2 2 1")])
def test_every_commit_is_flushed_unless_it_was_asked_otherwise(
    tmp_path: Path, asked: list[str], levels: str
) -> None:
    command = [sys.executable, "-c", OPEN_AND_ASK, str(tmp_path / "store.db"), *asked]
    assert subprocess.check_output(command, text=True).strip() == levels


async def test_a_read_that_fails_is_store_down(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(path) as store:
        with closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE calls RENAME TO elsewhere")
            with pytest.raises(StoreDown, match="no such table: calls"):
                store.calls()
            other.execute("ALTER TABLE elsewhere RENAME TO calls")
        assert store.calls() == []

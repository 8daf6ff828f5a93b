"""How a file gets its tables: made, migrated, or refused."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from callgate.errors import Misconfigured
from callgate.store import schema
from callgate.store.schema import MIGRATIONS, prepare, require_sqlite
from tests.unit.store.faults import locked

NEWER = {
    "3.36": r"\bIIF\s*\(\s*\w+\s*,\s*\w+\s*\)",
    "3.37": r"\)\s*STRICT\b",
    "3.38": r"->|\bunixepoch\s*\(|\bformat\s*\(",
    "3.39": r"\b(RIGHT|FULL)\s+(OUTER\s+)?JOIN\b|\bIS\s+(NOT\s+)?DISTINCT\s+FROM\b",
    "3.44": r"\b(concat|concat_ws|string_agg|octet_length)\s*\(",
}
"""What SQL has learned since 3.35, by release. Source: sqlite.org/changes.html"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "callgate.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(schema.connect(path)) as connection:
        yield connection


def value(connection: sqlite3.Connection, sql: str) -> object:
    return connection.execute(sql).fetchone()[0]


def test_a_new_file_gets_its_tables_its_version_and_a_log(
    connection: sqlite3.Connection, path: Path
) -> None:
    prepare(connection, path)
    assert value(connection, "PRAGMA user_version") == len(MIGRATIONS)
    assert value(connection, "PRAGMA journal_mode") == "wal"
    assert value(connection, "SELECT count(*) FROM attempts") == 0
    assert value(connection, "PRAGMA application_id") == int.from_bytes(b"CGAT")


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1)])
def test_durability_is_what_was_asked_for(
    connection: sqlite3.Connection, path: Path, synchronous: str, number: int
) -> None:
    prepare(connection, path, synchronous=synchronous)
    assert value(connection, "PRAGMA synchronous") == number
    assert value(connection, "PRAGMA fullfsync") == (number == 2)


def test_a_file_of_a_newer_version_is_refused(connection: sqlite3.Connection, path: Path) -> None:
    prepare(connection, path, migrations=[*MIGRATIONS, ["CREATE TABLE later (x)"]])
    known = len(MIGRATIONS)
    told = rf"store version {known + 1}, and .* up to {known}; install the newer"
    with pytest.raises(Misconfigured, match=told):
        prepare(connection, path)


def test_another_programs_database_is_refused_and_left_as_it_is(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("CREATE TABLE tasks (theirs)")
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match="is the database of another program; name a file"):
        prepare(connection, path)
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"something else entirely, and long enough to be looked at" * 20)
    with (
        closing(schema.connect(path)) as connection,
        pytest.raises(Misconfigured, match=r"cannot be used as a store: file is not a database"),
    ):
        prepare(connection, path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="unable to open database file"):
        schema.connect(tmp_path)


def test_a_disk_that_cannot_keep_a_log_is_refused(path: Path) -> None:
    # A database in memory is the one that every machine has and that takes no log.
    with (
        closing(sqlite3.connect(":memory:", isolation_level=None)) as connection,
        pytest.raises(Misconfigured, match="cannot keep a write-ahead log"),
    ):
        prepare(connection, path)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_a_file_goes_from_its_version_to_the_newest(
    connection: sqlite3.Connection, path: Path, known: int
) -> None:
    steps = [["CREATE TABLE a (x)"], ["ALTER TABLE a ADD y", "INSERT INTO a VALUES (1, 2)"], []]
    prepare(connection, path, migrations=steps[:known])
    prepare(connection, path, migrations=steps)
    assert value(connection, "PRAGMA user_version") == 3
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 2)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    connection: sqlite3.Connection, path: Path
) -> None:
    prepare(connection, path)
    broken = [*MIGRATIONS, ["CREATE TABLE later (x)", "CREATE TABLE later (x)"]]
    with pytest.raises(Misconfigured, match="table later already exists"):
        prepare(connection, path, migrations=broken)
    assert value(connection, "PRAGMA user_version") == len(MIGRATIONS)
    assert value(connection, "SELECT count(*) FROM sqlite_master WHERE name = 'later'") == 0


def test_who_come_to_a_new_file_at_once_all_find_its_tables(path: Path) -> None:
    together = threading.Barrier(8)

    def come() -> object:
        with closing(schema.connect(path)) as connection:
            together.wait()
            prepare(connection, path)
            return value(connection, "SELECT count(*) FROM attempts")

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(come) for _ in range(8)]
    assert [answer.result() for answer in answers] == [0] * 8


def test_a_new_file_that_another_process_works_on_is_waited_for(path: Path) -> None:
    with ExitStack() as other, closing(schema.connect(path)) as connection:
        other.enter_context(locked(path))
        asked: list[str] = []

        def let_go(statement: str) -> None:
            asked.append(statement)
            if statement == "BEGIN EXCLUSIVE":
                other.close()

        connection.set_trace_callback(let_go)
        prepare(connection, path)
        assert "BEGIN EXCLUSIVE" in asked
        assert value(connection, "PRAGMA journal_mode") == "wal"


def test_a_new_file_that_another_process_keeps_is_refused(path: Path) -> None:
    with (
        locked(path),
        closing(schema.connect(path, busy_seconds=0.05)) as connection,
        pytest.raises(Misconfigured, match=r"database is locked; .* see who else has this one"),
    ):
        prepare(connection, path)


def test_a_new_file_that_cannot_be_written_is_refused_at_once(path: Path) -> None:
    path.touch()
    for_reading = f"file:{path}?mode=ro"
    with (
        closing(sqlite3.connect(for_reading, uri=True, isolation_level=None)) as connection,
        pytest.raises(Misconfigured, match="attempt to write a readonly database"),
    ):
        prepare(connection, path)


def test_an_old_sqlite_is_refused() -> None:
    require_sqlite((3, 35, 0))
    with pytest.raises(Misconfigured, match=r"has SQLite 3\.34\.1, and the store needs 3\.35\.0"):
        require_sqlite((3, 34, 1))


@pytest.mark.parametrize("release", NEWER)
def test_no_statement_needs_a_newer_sqlite(repository: Path, release: str) -> None:
    for module in (repository / "src/callgate/store").glob("*.py"):
        statements = re.findall(r'"""(.*?)"""', module.read_text(encoding="utf-8"), re.DOTALL)
        sql = [
            text for text in statements if re.match(r"\s*(SELECT|INSERT|UPDATE|CREATE|WITH)", text)
        ]
        assert not [text for text in sql if re.search(NEWER[release], text, re.IGNORECASE)]

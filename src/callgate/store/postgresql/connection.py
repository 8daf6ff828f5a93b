"""Connections to a PostgreSQL server: how a session is set up, and its cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Self

import psycopg
from psycopg.abc import Buffer
from psycopg.types.numeric import Int8Dumper, IntLoader
from psycopg.types.string import StrDumperUnknown

LEAST_CONNECT_SECONDS: Final = 2
"""What libpq takes at least.

Source: postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT
"""

SAFE_COMMITS: Final = """
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""
"""Whatever the role's default is: a commit survives a crash of the server."""

PATIENCE: Final = """
    SELECT set_config('lock_timeout', ?, false), set_config('statement_timeout', ?, false),
        set_config('idle_in_transaction_session_timeout', ?, false)
"""

# Both keys of the lock: ours, and the schema's, so that two stores of a database are no matter
# to each other. Who gets it sees all that earlier holders wrote, as every statement of this level
# of isolation sees what is committed when it begins.
BEGIN: Final = b"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SELECT pg_advisory_xact_lock(1128743252, (current_schema()::regnamespace::oid)::int)
"""


def connect(url: str, *, busy_seconds: float) -> psycopg.Connection[Any]:
    """Open a connection in which every statement is its own transaction unless told.

    Args:
        url: What libpq takes.
        busy_seconds: How long to wait for the server, in seconds.

    Raises:
        psycopg.Error: It cannot be reached, or does not let us in.
    """
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=max(LEAST_CONNECT_SECONDS, round(busy_seconds)),
        # A server that is gone without a word is noticed.
        tcp_user_timeout=max(1, round(busy_seconds * 1000)),
        client_encoding="utf8",
        fallback_application_name="callgate",
    )
    # A sum of integers is an integer, and every integer has one type, so one plan for each statement.
    connection.adapters.register_loader("numeric", IntLoader)
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(str, TextDumper)
    return connection


class TextDumper(StrDumperUnknown):
    """Text for a server that takes every character but NUL."""

    def dump(self, obj: str) -> Buffer | None:
        """Return the text as bytes."""
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


@lru_cache(maxsize=512)
def _translated(sql: str) -> tuple[bytes, bool]:
    """Return a statement as the driver wants it, and whether it writes."""
    writes = not sql.lstrip().startswith("SELECT")
    return sql.replace("%", "%%").replace("?", "%s").encode(), writes


class ServerCursor:
    """A :class:`callgate.store.sql.Cursor`.

    Args:
        cursor: The driver's.
    """

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self._cursor = cursor
        self.changes = 0
        """How often a statement changed the transaction, or spoilt it."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return self._cursor.rowcount

    def execute(self, sql: str, given: Sequence[Any] = (), /) -> Self:
        """Run a statement with its values; return this cursor."""
        statement, writes = _translated(sql)
        self.changes += writes
        try:
            self._cursor.execute(statement, given)
        except psycopg.Error:
            self.changes += 1
            raise
        return self

    def executemany(self, sql: str, given: Iterable[Sequence[Any]], /) -> Self:
        """Run a statement once for each row of values."""
        for row in given:
            self.execute(sql, row)
        return self

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return self._cursor.fetchall()


class ServerSession:
    """A connection that writes, as transactions use it.

    Args:
        connection: An open connection, which is closed with this.
        busy_seconds: How long to wait for other gates; twice as long for one statement.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, busy_seconds: float) -> None:
        self._connection = connection
        self._driver = connection.cursor()
        self.cursor = ServerCursor(self._driver)
        wait = max(1, round(busy_seconds * 1000))
        # Who waits for a lock is told so, rather than that its statement takes long. One that
        # stops in a transaction, with the lock of all, is thrown out.
        self.cursor.execute(PATIENCE, (f"{wait}ms", f"{2 * wait}ms", f"{2 * wait}ms"))
        self.cursor.execute(SAFE_COMMITS)

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    def begin(self) -> None:
        """Begin a transaction that no other writer of the store is in."""
        self._driver.execute(BEGIN, prepare=False)

    def commit(self) -> None:
        """Make it durable."""
        self._driver.execute(b"COMMIT", prepare=False)

    def roll_back(self) -> None:
        """Undo it, if the server has not by itself."""
        with suppress(psycopg.Error):
            self._driver.execute(b"ROLLBACK", prepare=False)

    def mark(self) -> int:
        """Return a number that is another one as soon as the transaction is."""
        return self.cursor.changes

    def is_trouble(self, error: Exception, /) -> bool:
        """Whether the database failed, rather than the operation."""
        of_the_operation = (psycopg.IntegrityError, psycopg.DataError)
        return isinstance(error, psycopg.Error) and not isinstance(error, of_the_operation)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

"""The one writer of a process into a SQLite file: it commits whatever waits, as one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Final, NamedTuple

from callgate.store.groups import LARGEST_GROUP, Chore, Groups, store_down
from callgate.store.transaction import Job, Outcome, deliver, run, run_alone

LOOK: Final = (
    "look at free space, permissions and who else has the file open; it recovers by itself"
)

MOVED: Final = "its file was moved or deleted"

PUT_BACK: Final = "put the file back, or restart the gate to begin a new one"


class Opened(NamedTuple):
    """An open database."""

    connection: sqlite3.Connection
    is_there: Callable[[], bool]
    """Whether it is still where it was opened."""


class FileSession:
    """A connection to a file, as transactions use it.

    Args:
        cursor: A cursor of the connection.
    """

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor

    def begin(self) -> None:
        """Begin a transaction that no other writer of the file is in."""
        self.cursor.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it durable."""
        self.cursor.execute("COMMIT")

    def roll_back(self) -> None:
        """Leave no transaction open; SQLite has often rolled back by itself."""
        with suppress(sqlite3.Error):
            self.cursor.execute("ROLLBACK")

    def mark(self) -> int:
        """Return how many rows were changed so far."""
        return self.cursor.connection.total_changes

    def is_trouble(self, error: Exception, /) -> bool:
        """Whether the database failed, rather than the operation."""
        return isinstance(error, sqlite3.Error) and type(error) in {
            sqlite3.DatabaseError,
            sqlite3.InternalError,
            sqlite3.OperationalError,
        }


class Writer(Groups):
    """Runs operations in groups; every caller's future is done when its own is durable.

    Statements run on the event loop, each in microseconds and out of a cache; what waits for the
    disk or for another process runs in a thread. Two threads at statements would wait for each
    other's interpreter lock at every one of them: ``docs/decisions/0004-commits-in-a-thread.md``.

    Args:
        connect: Opens the database; called in the thread.
        chore: What to do besides, if anything.
        busy_seconds: How long to wait for another process's transaction.
    """

    def __init__(
        self, connect: Callable[[], Opened], *, busy_seconds: float, chore: Chore | None = None
    ) -> None:
        super().__init__(chore)
        self._connect = connect
        self._busy_seconds = busy_seconds
        self._is_open = False

    def _open(self) -> None:
        database = self._connect()
        cursor = database.connection.cursor()
        session = FileSession(cursor)
        try:
            if self._chore is not None:
                run_alone(session, self._chore)
            # The loop never waits for another process; who must wait does so in the thread.
            cursor.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:
            # Closed, as a cursor that lives on in a traceback would keep the file open.
            cursor.close()
            database.connection.close()
            raise store_down(str(error), fix=LOOK) from error
        self._database, self._cursor, self._session = database, cursor, session
        self._is_open = True

    def _transact(self) -> None:
        if not self._database.is_there():
            self._fail(self._gather(len(self._waiting)), MOVED, fix=PUT_BACK)
            return
        try:
            self._session.begin()
        except sqlite3.Error:
            self._thread.do(self._begin_after_others, self._begun)
        else:
            self._write()

    def _begin_after_others(self) -> None:
        """Wait while another process writes; who comes meanwhile joins the group."""
        self._wait_for_others()
        try:
            self._session.begin()
        finally:
            self._cursor.execute("PRAGMA busy_timeout = 0")

    def _wait_for_others(self) -> None:
        self._cursor.execute(f"PRAGMA busy_timeout = {int(self._busy_seconds * 1000)}")

    def _begun(self, error: Exception | None) -> None:
        if error is None:
            self._write()
        else:
            self._fail(self._gather(len(self._waiting)), str(error), fix=LOOK)

    def _write(self) -> None:
        """Run what waits, inside the transaction that has begun, and have it committed."""
        jobs = self._gather(LARGEST_GROUP)
        try:
            outcomes = run(self._session, jobs)
        except sqlite3.Error as error:
            self._session.roll_back()
            self._fail(jobs, str(error), fix=LOOK)
        else:
            self._thread.do(self._commit, partial(self._committed, jobs, outcomes))

    def _commit(self) -> None:
        try:
            self._session.commit()
        except sqlite3.Error:
            self._session.roll_back()
            raise

    def _committed(
        self, jobs: Sequence[Job], outcomes: Sequence[Outcome], error: Exception | None
    ) -> None:
        if error is None:
            deliver(outcomes)
            self._begin_soon()
        else:
            self._fail(jobs, str(error), fix=LOOK)

    def _let_go(self) -> None:
        if not self._is_open:
            return
        with closing(self._database.connection), closing(self._cursor):
            self._wait_for_others()
            if self._chore is not None and self._database.is_there():
                # If it cannot be written, another process finds this one gone.
                with suppress(sqlite3.Error):
                    run_alone(self._session, self._chore.retire)

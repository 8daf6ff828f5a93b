"""The one thread of a process that writes: it commits whatever waits, as one transaction.

Nothing is delayed to make a group: while a commit waits for the disk, the next group gathers.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, Protocol

from callgate.errors import Reason, StoreDown

LARGEST_GROUP: Final = 128
"""Operations of one transaction at most, so that no caller waits for an endless group."""

Operation = Callable[[sqlite3.Cursor, Any], Any]
"""Something to do inside a transaction, with its argument. It touches nothing but the database,
and decides before it writes: it may be rolled back and run again."""

Job = tuple[Operation, Any, "Future[Any] | None"]
Outcome = tuple["Future[Any] | None", Any, Exception | None]

LOOK: Final = (
    "look at free space, permissions and who else has the file open; it recovers by itself"
)

MOVED: Final = "its file was moved or deleted"

PUT_BACK: Final = "put the file back, or restart the gate to begin a new one"

log = logging.getLogger("callgate")


class Chore(Protocol):
    """What the writer does by itself: before everything else, from time to time, and at the end."""

    def due_seconds(self) -> float:
        """Return how long it may wait; nothing or less means now."""
        ...

    def __call__(self, cursor: sqlite3.Cursor, argument: None, /) -> None:
        """Do it, inside a transaction."""
        ...

    def retire(self, cursor: sqlite3.Cursor, argument: None, /) -> None:
        """Do what is left to do when nothing more will be submitted, inside a transaction."""
        ...


class Opened(NamedTuple):
    """An open database."""

    connection: sqlite3.Connection
    is_there: Callable[[], bool]
    """Whether it is still where it was opened."""


class Writer:
    """Runs operations in groups; every caller's future is done when its own is durable.

    Args:
        connect: Opens the database; called in the writer's thread.
        chore: What to do besides, if anything.
    """

    def __init__(self, connect: Callable[[], Opened], *, chore: Chore | None = None) -> None:
        self._loop: AbstractEventLoop = asyncio.get_running_loop()
        self._connect = connect
        self._chore = chore
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._closing = False
        self._last = False
        self._opened: Future[None] = self._loop.create_future()
        self._closed: Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="callgate-writer", daemon=True)

    async def open(self) -> None:
        """Start the thread, and wait until the database is open and the chore is done once.

        Raises:
            StoreDown: The chore could not be done.
            Exception: What ``connect`` raised.
        """
        self._thread.start()
        await self._opened

    async def close(self) -> None:
        """Finish what was submitted; from now on every submission fails with StoreDown."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.shield(self._closed)

    def submit(self, operation: Operation, argument: Any, /) -> Future[Any]:
        """Have ``operation`` run with ``argument`` in the next transaction.

        Returns:
            What the operation returns, once it is durable; what it raises, at once; StoreDown
            if nothing could be written.
        """
        future: Future[Any] = self._loop.create_future()
        if self._closing:
            future.set_exception(store_down("it is closed", fix="restart the gate"))
        else:
            self._queue.put((operation, argument, future))
        return future

    def _run(self) -> None:
        try:
            database = self._open()
        except Exception as error:  # noqa: BLE001  the opener gets it
            self._deliver([(self._opened, None, error)])
            return
        self._deliver([(self._opened, None, None)])
        with closing(database.connection), closing(database.connection.cursor()) as cursor:
            while not self._last:
                first = self._wait()
                if first is not None:
                    self._turn(cursor, first, is_there=database.is_there())
            if self._chore is not None and database.is_there():
                # If it cannot be written, another process finds this one gone.
                with suppress(sqlite3.Error):
                    _commit_alone(cursor, self._chore.retire)
        self._deliver([(self._closed, None, None)])

    def _open(self) -> Opened:
        database = self._connect()
        if self._chore is not None:
            try:
                # Closed, as a cursor that lives on in a traceback would keep the file open.
                with closing(database.connection.cursor()) as cursor:
                    _commit_alone(cursor, self._chore)
            except sqlite3.Error as error:
                database.connection.close()
                raise store_down(str(error), fix=LOOK) from error
        return database

    def _wait(self) -> Job | None:
        """Return the next thing to do; None to look again."""
        if self._chore is None:
            return self._or_last(self._queue.get())
        wait = self._chore.due_seconds()
        if wait <= 0:
            return (self._chore, None, None)
        try:
            return self._or_last(self._queue.get(timeout=wait))
        except Empty:
            return (self._chore, None, None)

    def _or_last(self, job: Job | None) -> Job | None:
        self._last = job is None
        return job

    def _turn(self, cursor: sqlite3.Cursor, first: Job, *, is_there: bool) -> None:
        if not is_there:
            self._deliver(_all_down(self._gather(first, most=LARGEST_GROUP), MOVED, fix=PUT_BACK))
            return
        try:
            # Waits while another process writes; who comes meanwhile joins the group.
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            jobs = self._gather(first, most=self._queue.qsize() + 1)
            self._deliver(_all_down(jobs, str(error), fix=LOOK))
            return
        jobs = self._gather(first, most=LARGEST_GROUP)
        try:
            outcomes = _commit(cursor, jobs)
        except sqlite3.Error as error:
            _roll_back(cursor)
            outcomes = _all_down(jobs, str(error), fix=LOOK)
        self._deliver(outcomes)

    def _gather(self, first: Job, *, most: int) -> list[Job]:
        jobs = [first]
        try:
            while len(jobs) < most:
                job = self._or_last(self._queue.get_nowait())
                if job is None:
                    break
                jobs.append(job)
        except Empty:
            pass
        return jobs

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(_deliver, outcomes)
        except RuntimeError:
            # The event loop is closed: nobody waits any more, and nobody will close this.
            self._queue.put(None)


def _commit_alone(cursor: sqlite3.Cursor, operation: Operation) -> None:
    """Run what no caller waits for."""
    cursor.execute("BEGIN IMMEDIATE")
    try:
        operation(cursor, None)
        cursor.execute("COMMIT")
    except sqlite3.Error:
        _roll_back(cursor)
        raise


def _commit(cursor: sqlite3.Cursor, jobs: Sequence[Job]) -> list[Outcome]:
    """Run ``jobs`` and commit; raise sqlite3.Error if that is not possible for all of them."""
    outcomes: list[Outcome] = []
    connection = cursor.connection
    for operation, argument, future in jobs:
        before = connection.total_changes
        try:
            outcomes.append((future, operation(cursor, argument), None))
        except Exception as error:
            if _is_store_trouble(error):
                raise
            if connection.total_changes != before:
                # It wrote before it failed, which no operation should: once more, each apart.
                cursor.execute("ROLLBACK")
                return _commit_apart(cursor, jobs)
            outcomes.append((future, None, error))
    cursor.execute("COMMIT")
    return outcomes


def _commit_apart(cursor: sqlite3.Cursor, jobs: Sequence[Job]) -> list[Outcome]:
    """Run ``jobs``, each in a savepoint of its own, so that a bad one rolls back alone."""
    outcomes: list[Outcome] = []
    cursor.execute("BEGIN IMMEDIATE")
    for operation, argument, future in jobs:
        cursor.execute("SAVEPOINT job")
        try:
            outcomes.append((future, operation(cursor, argument), None))
        except Exception as error:
            if _is_store_trouble(error):
                raise
            cursor.execute("ROLLBACK TO job")
            outcomes.append((future, None, error))
        cursor.execute("RELEASE job")
    cursor.execute("COMMIT")
    return outcomes


def _roll_back(cursor: sqlite3.Cursor) -> None:
    """Leave no transaction open; SQLite has often rolled back by itself."""
    with suppress(sqlite3.Error):
        cursor.execute("ROLLBACK")


def _is_store_trouble(error: Exception) -> bool:
    """Whether the database failed, rather than the operation."""
    return isinstance(error, sqlite3.Error) and type(error) in {
        sqlite3.DatabaseError,
        sqlite3.InternalError,
        sqlite3.OperationalError,
    }


def _all_down(jobs: Sequence[Job], why: str, *, fix: str) -> list[Outcome]:
    return [(future, None, store_down(why, fix=fix)) for _, _, future in jobs]


def store_down(why: str, *, fix: str) -> StoreDown:
    """Return the refusal of everything that needs the store.

    Args:
        why: What the database says.
        fix: What an operator can do.
    """
    msg = f"the store does not answer ({why}), and no call runs without a record; {fix}"
    return StoreDown(msg, reason=Reason(code="store_down", rule="gate.store", fix=fix))


def _deliver(outcomes: Sequence[Outcome]) -> None:
    for future, value, error in outcomes:
        if future is None:
            if error is not None:
                log.warning("the store's heartbeat failed: %s", error)
        elif not future.done():
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

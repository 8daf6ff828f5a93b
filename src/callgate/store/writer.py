"""The one writer of a process: it commits whatever waits, as one transaction.

Nothing is delayed to make a group: while a commit waits for the disk, the next group gathers.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from asyncio import Future, TimerHandle
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from callgate.errors import Reason, Refused, StoreDown
from callgate.store.thread import Thread

LARGEST_GROUP: Final = 64
"""Operations of one transaction at most: they run on the event loop, and others wait meanwhile."""

TRY_AGAIN_SECONDS: Final = 1.0
"""How long a chore rests that could not be done."""

Operation = Callable[[sqlite3.Cursor, Any], Any]
"""Something to do inside a transaction, with its argument. It touches nothing but the database,
and decides before it writes: it may be rolled back and run again. Where it raises :class:`Kept`,
what it has written stays."""

Job = tuple[Operation, Any, "Future[Any]"]
Outcome = tuple["Future[Any]", Any, Exception | None]

LOOK: Final = (
    "look at free space, permissions and who else has the file open; it recovers by itself"
)

MOVED: Final = "its file was moved or deleted"

PUT_BACK: Final = "put the file back, or restart the gate to begin a new one"

log = logging.getLogger("callgate")


class Kept(Exception):
    """A refusal of an operation that wrote something which stays all the same.

    Attributes:
        refused: What its caller is told.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused)
        self.refused = refused


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
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._busy_seconds = busy_seconds
        self._chore = chore
        self._waiting: deque[Job] = deque()
        self._is_open = False
        self._at_rest = True
        self._closing = False
        self._closed: Future[None] = self._loop.create_future()
        self._timer: TimerHandle | None = None
        self._chore_rests = False
        """Whether the chore waits for its turn, or for a while after it failed."""
        self._thread = Thread(self._loop)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being written."""
        return not self._at_rest

    async def open(self) -> None:
        """Open the database, and do the chore once.

        Raises:
            StoreDown: The chore could not be done.
            Exception: What ``connect`` raised.
        """
        self._thread.start()
        try:
            await self._thread.run(self._open)
        except BaseException:
            # Who opens may be cancelled, and the thread opens all the same.
            self._thread.do(self._let_go, _ignore)
            self._thread.end()
            raise
        if self._chore is not None:
            self._wind(self._chore)

    async def close(self) -> None:
        """Finish what was submitted; from now on every submission fails with StoreDown."""
        if not self._closing:
            self._closing = True
            self._stop_timer()
            self._wake()
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
            self._waiting.append((operation, argument, future))
            self._wake()
        return future

    def _open(self) -> None:
        database = self._connect()
        cursor = database.connection.cursor()
        try:
            if self._chore is not None:
                _commit_alone(cursor, self._chore)
            # The loop never waits for another process; who must wait does so in the thread.
            cursor.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:
            # Closed, as a cursor that lives on in a traceback would keep the file open.
            cursor.close()
            database.connection.close()
            raise store_down(str(error), fix=LOOK) from error
        self._database, self._cursor, self._is_open = database, cursor, True

    def _wake(self) -> None:
        """Begin a transaction when this turn of the loop is over, with all that it brings."""
        if self._at_rest:
            self._at_rest = False
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        if self._chore is not None and self._chore.due_seconds() <= 0:
            self._add(self._chore)
        if not self._waiting:
            self._at_rest = True
            if self._closing:
                self._thread.do(self._retire, self._end)
            return
        if not self._database.is_there():
            self._fail(self._gather(len(self._waiting)), MOVED, fix=PUT_BACK)
            return
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            self._thread.do(self._begin_after_others, self._begun)
        else:
            self._write()

    def _begin_after_others(self) -> None:
        """Wait while another process writes; who comes meanwhile joins the group."""
        self._wait_for_others()
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
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
            outcomes = _run(self._cursor, jobs)
        except sqlite3.Error as error:
            _roll_back(self._cursor)
            self._fail(jobs, str(error), fix=LOOK)
        else:
            self._thread.do(self._commit, partial(self._committed, jobs, outcomes))

    def _commit(self) -> None:
        try:
            self._cursor.execute("COMMIT")
        except sqlite3.Error:
            _roll_back(self._cursor)
            raise

    def _committed(
        self, jobs: Sequence[Job], outcomes: Sequence[Outcome], error: Exception | None
    ) -> None:
        if error is None:
            _deliver(outcomes)
            self._begin()
        else:
            self._fail(jobs, str(error), fix=LOOK)

    def _fail(self, jobs: Sequence[Job], why: str, *, fix: str) -> None:
        _deliver([(future, None, store_down(why, fix=fix)) for _, _, future in jobs])
        self._loop.call_soon(self._begin)

    def _gather(self, most: int) -> list[Job]:
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def _wind(self, chore: Chore, *, least_seconds: float = 0.0) -> None:
        """Wake up when the chore is due."""
        wait = max(least_seconds, chore.due_seconds())
        self._timer = self._loop.call_later(wait, self._ring, chore)

    def _ring(self, chore: Chore) -> None:
        self._chore_rests = False
        self._add(chore)
        self._wake()

    def _add(self, chore: Chore) -> None:
        """Put the chore before everything else, unless it waits already or is not needed."""
        if self._chore_rests or self._closing:
            return
        self._chore_rests = True
        self._stop_timer()
        done: Future[Any] = self._loop.create_future()
        done.add_done_callback(partial(self._chore_done, chore))
        self._waiting.appendleft((chore, None, done))

    def _chore_done(self, chore: Chore, done: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            log.warning("the store's heartbeat failed: %s", error)
        if self._closing:
            return
        if error is None:
            self._chore_rests = False
            self._wind(chore)
        else:
            # It is still due, and to try it at once would be a loop without an end.
            self._wind(chore, least_seconds=TRY_AGAIN_SECONDS)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _let_go(self) -> None:
        if self._is_open:
            self._retire()

    def _retire(self) -> None:
        with closing(self._database.connection), closing(self._cursor):
            self._wait_for_others()
            if self._chore is not None and self._database.is_there():
                # If it cannot be written, another process finds this one gone.
                with suppress(sqlite3.Error):
                    _commit_alone(self._cursor, self._chore.retire)

    def _end(self, _: Exception | None) -> None:
        self._thread.end()
        self._closed.set_result(None)


def _ignore(_: Exception | None) -> None:
    """Be told what nobody waits for."""


def _commit_alone(cursor: sqlite3.Cursor, operation: Operation) -> None:
    """Run what no caller waits for."""
    cursor.execute("BEGIN IMMEDIATE")
    try:
        operation(cursor, None)
        cursor.execute("COMMIT")
    except sqlite3.Error:
        _roll_back(cursor)
        raise


def _run(cursor: sqlite3.Cursor, jobs: Sequence[Job]) -> list[Outcome]:
    """Run ``jobs``; raise sqlite3.Error if the database cannot take all of them."""
    outcomes: list[Outcome] = []
    connection = cursor.connection
    for operation, argument, future in jobs:
        before = connection.total_changes
        try:
            outcomes.append((future, operation(cursor, argument), None))
        except Kept as kept:
            outcomes.append((future, None, kept.refused))
        except Exception as error:
            if _is_store_trouble(error):
                raise
            if connection.total_changes != before:
                # It wrote before it failed, which no operation should: once more, each apart.
                cursor.execute("ROLLBACK")
                return _run_apart(cursor, jobs)
            outcomes.append((future, None, error))
    return outcomes


def _run_apart(cursor: sqlite3.Cursor, jobs: Sequence[Job]) -> list[Outcome]:
    """Run ``jobs``, each in a savepoint of its own, so that a bad one rolls back alone."""
    outcomes: list[Outcome] = []
    cursor.execute("BEGIN IMMEDIATE")
    for operation, argument, future in jobs:
        cursor.execute("SAVEPOINT job")
        try:
            outcomes.append((future, operation(cursor, argument), None))
        except Kept as kept:
            outcomes.append((future, None, kept.refused))
        except Exception as error:
            if _is_store_trouble(error):
                raise
            cursor.execute("ROLLBACK TO job")
            outcomes.append((future, None, error))
        cursor.execute("RELEASE job")
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
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

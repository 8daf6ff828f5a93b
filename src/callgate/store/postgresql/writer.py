"""The one writer of a process into a PostgreSQL database: whatever waits is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import psycopg

from callgate.store.groups import LARGEST_GROUP, Chore, Groups, store_down
from callgate.store.postgresql.connection import ServerSession
from callgate.store.sql import Cursor
from callgate.store.transaction import (
    Done,
    Job,
    Outcome,
    deliver,
    reversible,
    run,
    run_alone,
)

LOOK: Final = "look whether the server runs and who has it busy; the gate recovers by itself"


class ServerWriter(Groups):
    """Runs operations in groups; every caller's future is done when its own is durable.

    Every statement waits for the network, so all of a group runs in the thread. One lock of the
    database lets one gate in at a time; who waits for it takes along what comes meanwhile. After
    any trouble the connection is given up, and the next group begins with a new one.

    Args:
        connect: Opens a session, with its tables made; called in the thread.
        chore: What to do besides, if anything.
    """

    def __init__(self, connect: Callable[[], ServerSession], *, chore: Chore | None) -> None:
        super().__init__(chore)
        self._connect = connect
        self._session: ServerSession | None = None
        self._opened = False
        self._in_doubt: list[Done] = []
        """What may have been committed, though its callers were told that it was not."""

    def _open(self) -> None:
        try:
            session = self._live()
            if self._chore is not None:
                run_alone(session, self._chore)
        except psycopg.Error as error:
            self._drop()
            raise store_down(told(error), fix=LOOK) from error
        self._opened = True

    def _transact(self) -> None:
        jobs, outcomes = list[Job](), list[Outcome]()
        work = partial(self._write, jobs, outcomes)
        self._thread.do(work, partial(self._written, jobs, outcomes))

    def _write(self, jobs: list[Job], outcomes: list[Outcome]) -> None:
        try:
            session = self._begun()
            jobs += self._gather(LARGEST_GROUP)
            outcomes += run(session, jobs)
            self._commit(session, jobs, outcomes)
        except Exception:
            self._drop()
            raise

    def _commit(
        self, session: ServerSession, jobs: Sequence[Job], outcomes: Sequence[Outcome]
    ) -> None:
        """Commit; where the answer is lost, look whether what was done stands."""
        try:
            session.commit()
        except psycopg.Error:
            self._drop()
            if not self._stands(reversible(jobs, outcomes)):
                raise

    def _stands(self, done: Sequence[Done]) -> bool:
        """Return whether the transaction of a lost connection, with all of this, was committed.

        The server's own word on it would be no proof: a transaction that a crash has lost leaves its
        number to another, which may be committed. What is not reversible is safe to do again.
        """
        try:
            session = self._live()
            # Who held the lock has ended once it is ours, one way or the other.
            session.begin()
            stands = any(operation.stands(session.cursor, argument) for operation, argument in done)
            session.commit()
        except psycopg.Error:
            self._in_doubt += done
            return False
        return stands

    def _written(self, jobs: list[Job], outcomes: list[Outcome], error: Exception | None) -> None:
        if error is None:
            deliver(outcomes)
            self._begin_soon()
        else:
            self._fail(jobs or self._gather(len(self._waiting)), told(error), fix=LOOK)

    def _begun(self) -> ServerSession:
        """Begin a transaction; in a new session where the old one was lost while it rested."""
        session = self._live()
        try:
            session.begin()
        except psycopg.Error:
            if not session.is_lost:
                raise
            self._drop()
            session = self._live()
            session.begin()
        return session

    def _live(self) -> ServerSession:
        if self._session is None:
            self._session = self._connect()
        if self._in_doubt:
            run_alone(self._session, self._take_back)
            self._in_doubt.clear()
        return self._session

    def _take_back(self, cursor: Cursor, _: None) -> None:
        for operation, argument in self._in_doubt:
            operation.take_back(cursor, argument)

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _let_go(self) -> None:
        if self._opened and self._chore is not None:
            # If it cannot be written, another gate finds this one silent.
            with suppress(psycopg.Error):
                run_alone(self._live(), self._chore.retire)
        self._drop()


def told(error: Exception) -> str:
    """Return what the server says, in one line."""
    return " ".join(str(error).split())

"""One transaction with what several callers want of it: each gets an answer of its own."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from callgate.errors import Refused
from callgate.store.sql import Cursor

Operation = Callable[[Cursor, Any], Any]
"""Something to do inside a transaction: with its cursor, and its argument. It touches nothing but
the database, and decides before it writes: it may be rolled back and run again. Where it
raises :class:`Kept`, what it has written stays."""

Job = tuple[Operation, Any, "Future[Any]"]
Outcome = tuple["Future[Any]", Any, Exception | None]


class Kept(Exception):
    """A refusal of an operation that wrote something which stays all the same.

    Attributes:
        refused: What its caller is told.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused)
        self.refused = refused


@runtime_checkable
class Reversible(Protocol):
    """An operation that must not stand where its caller was told that nothing was written."""

    def __call__(self, cursor: Cursor, argument: Any, /) -> Any:
        """Do it."""
        ...

    def stands(self, cursor: Cursor, argument: Any, /) -> bool:
        """Return whether it was done."""
        ...

    def take_back(self, cursor: Cursor, argument: Any, /) -> None:
        """Undo it, if it was done; a second time does nothing."""
        ...


Done = tuple[Reversible, Any]
"""An operation, and its argument."""


class Session(Protocol):
    """A connection that writes."""

    @property
    def cursor(self) -> Cursor:
        """Where its statements run."""
        ...

    def begin(self) -> None:
        """Begin a transaction that no other writer of the database is in."""
        ...

    def commit(self) -> None:
        """Make it durable."""
        ...

    def roll_back(self) -> None:
        """Undo it, if there is one; the database may have done so by itself."""
        ...

    def mark(self) -> int:
        """Return a number that is another one as soon as the transaction is."""
        ...

    def is_trouble(self, error: Exception, /) -> bool:
        """Whether the database failed, rather than the operation."""
        ...


def run(session: Session, jobs: Sequence[Job]) -> list[Outcome]:
    """Run ``jobs`` in the transaction that has begun.

    Raises:
        Exception: The database cannot take all of them.
    """
    outcomes: list[Outcome] = []
    for operation, argument, future in jobs:
        before = session.mark()
        try:
            outcomes.append((future, operation(session.cursor, argument), None))
        except Kept as kept:
            outcomes.append((future, None, kept.refused))
        except Exception as error:
            if session.is_trouble(error):
                raise
            if session.mark() != before:
                # It wrote before it failed, which no operation should: once more, each apart.
                session.roll_back()
                session.begin()
                return _run_apart(session, jobs)
            outcomes.append((future, None, error))
    return outcomes


def _run_apart(session: Session, jobs: Sequence[Job]) -> list[Outcome]:
    """Run ``jobs``, each in a savepoint of its own, so that a bad one rolls back alone."""
    outcomes: list[Outcome] = []
    cursor = session.cursor
    for operation, argument, future in jobs:
        cursor.execute("SAVEPOINT job")
        try:
            outcomes.append((future, operation(cursor, argument), None))
        except Kept as kept:
            outcomes.append((future, None, kept.refused))
        except Exception as error:
            if session.is_trouble(error):
                raise
            cursor.execute("ROLLBACK TO job")
            outcomes.append((future, None, error))
        cursor.execute("RELEASE job")
    return outcomes


def reversible(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> list[Done]:
    """Return what of ``jobs`` was done and would have to be taken back."""
    return [
        (operation, argument)
        for (operation, argument, _), (_, _, error) in zip(jobs, outcomes, strict=True)
        if error is None and isinstance(operation, Reversible)
    ]


def run_alone(session: Session, operation: Operation) -> None:
    """Run and commit what no caller waits for.

    Raises:
        Exception: Nothing of it was written.
    """
    try:
        session.begin()
        operation(session.cursor, None)
        session.commit()
    except BaseException:
        session.roll_back()
        raise


def deliver(outcomes: Sequence[Outcome]) -> None:
    """Tell everyone who still waits what became of it."""
    for future, value, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

"""What waits to be written, and how it becomes groups: whatever waits is one transaction.

While one is being committed, the next gathers. It begins as soon as a turn of the event loop brings
nothing more for it, so that what comes at the same time is committed at once and nobody waits for time
to pass: an idle loop turns in microseconds.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from asyncio import Future, TimerHandle
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

from callgate.errors import Reason, StoreDown
from callgate.store.sql import Cursor
from callgate.store.thread import Thread
from callgate.store.transaction import Job, Operation, deliver

LARGEST_GROUP: Final = 64
"""Operations of one transaction at most: others wait meanwhile."""

MOST_TURNS: Final = 4
"""Turns of the loop that a group waits for more at most, however much each brings.

Source: docs/decisions/0004, which has the measurement.
"""

TRY_AGAIN_SECONDS: Final = 1.0
"""How long a chore rests that could not be done."""

log = logging.getLogger("callgate")


class Chore(Protocol):
    """What the writer does by itself: before everything else, from time to time, and at the end."""

    def due_seconds(self) -> float:
        """Return how long it may wait; nothing or less means now."""
        ...

    def __call__(self, cursor: Cursor, argument: None, /) -> None:
        """Do it, inside a transaction."""
        ...

    def retire(self, cursor: Cursor, argument: None, /) -> None:
        """Do what is left to do when nothing more will be submitted, inside a transaction."""
        ...


class Groups(ABC):
    """Has operations run in groups; every caller's future is done when its own is durable.

    Args:
        chore: What to do besides, if anything.
    """

    def __init__(self, chore: Chore | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._chore = chore
        self._waiting: deque[Job] = deque()
        self._at_rest = True
        self._closing = False
        self._closed: Future[None] = self._loop.create_future()
        self._timer: TimerHandle | None = None
        self._chore_rests = False
        """Whether the chore waits for its turn, or for a while after it failed."""
        self._thread = Thread(self._loop)

    @abstractmethod
    def _open(self) -> None:
        """Open the database and do the chore once; called in the thread."""

    @abstractmethod
    def _transact(self) -> None:
        """Have a group of what waits written; :meth:`_begin_soon` or :meth:`_fail` ends it."""

    @abstractmethod
    def _let_go(self) -> None:
        """Retire the chore and close the database, if it is open; called in the thread."""

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

    def _wake(self) -> None:
        if self._at_rest:
            self._at_rest = False
            self._loop.call_soon(self._begin_soon)

    def _begin_soon(self, had: int = 0, turns: int = 0) -> None:
        """Begin a transaction as soon as a turn of the loop brings nothing more for it."""
        has = len(self._waiting)
        if had < has < LARGEST_GROUP and turns < MOST_TURNS:
            self._loop.call_soon(self._begin_soon, has, turns + 1)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._chore is not None and self._chore.due_seconds() <= 0:
            self._add(self._chore)
        if not self._waiting:
            self._at_rest = True
            if self._closing:
                self._thread.do(self._let_go, self._end)
            return
        self._transact()

    def _fail(self, jobs: Sequence[Job], why: str, *, fix: str) -> None:
        deliver([(future, None, store_down(why, fix=fix)) for _, _, future in jobs])
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

    def _end(self, _: Exception | None) -> None:
        self._thread.end()
        self._closed.set_result(None)


def _ignore(_: Exception | None) -> None:
    """Be told what nobody waits for."""


def store_down(why: str, *, fix: str) -> StoreDown:
    """Return the refusal of everything that needs the store.

    Args:
        why: What the database says.
        fix: What an operator can do.
    """
    msg = f"the store does not answer ({why}), and no call runs without a record; {fix}"
    return StoreDown(msg, reason=Reason(code="store_down", rule="gate.store", fix=fix))

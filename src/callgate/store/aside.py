"""Questions that may take long: they are asked in a thread, on a connection of their own."""

from __future__ import annotations

import asyncio
from asyncio import Future, InvalidStateError
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from callgate.store.groups import store_down
from callgate.store.reads import Books
from callgate.store.sql import Cursor
from callgate.store.thread import Thread

Answer = TypeVar("Answer")


class Aside:
    """Answers one question after the other, while the event loop goes on.

    Args:
        books: A connection that writes nothing, and that nobody else uses.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._loop = asyncio.get_running_loop()
        self._thread: Thread | None = None
        self._closed = False

    def ask(self, question: Callable[[Cursor], Answer], /) -> Future[Answer]:
        """Return the answer to a question.

        Raises (through the future):
            StoreDown: The database does not tell.
        """
        answered: Future[Answer] = self._loop.create_future()
        if self._closed:
            answered.set_exception(store_down("it is closed", fix="restart the gate"))
            return answered
        found: list[Answer] = []

        def told(error: Exception | None) -> None:
            # Who does not wait any more is not told.
            with suppress(InvalidStateError):
                answered.set_result(found[0]) if error is None else answered.set_exception(error)

        self._live().do(lambda: found.append(self._books.ask(question)), told)
        return answered

    def close(self) -> None:
        """Close the connection, after the question that is being answered."""
        self._closed = True
        if self._thread is None:
            self._books.close()
            return
        self._thread.do(self._books.close, _ignore)
        self._thread.end()

    def _live(self) -> Thread:
        if self._thread is None:
            self._thread = Thread(self._loop)
            self._thread.start()
        return self._thread


def _ignore(_: Exception | None) -> None:
    """Be told what nobody waits for."""

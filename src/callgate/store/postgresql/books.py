"""A connection that only reads, and is opened again when it is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg

from callgate.clock import Clock
from callgate.store.groups import store_down
from callgate.store.postgresql.connection import ServerCursor
from callgate.store.postgresql.writer import LOOK, told
from callgate.store.sql import Cursor

Answer = TypeVar("Answer")

REST_SECONDS: Final = 1.0
"""How long nobody tries again to connect: the event loop waits while somebody does."""

SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class ServerBooks:
    """Asks the server; see :class:`callgate.store.reads.Books`.

    Args:
        connect: Opens a connection.
        clock: For how long to rest.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._connection: psycopg.Connection[Any] | None = None
        self._rests_until = float("-inf")
        self._closed = False

    def ask(self, question: Callable[[Cursor], Answer], /, *, at_once: bool = False) -> Answer:
        """Return the answer to a question."""
        if self._closed:
            msg = "it is closed"
            raise store_down(msg, fix="restart the gate")
        rested = self._connection is not None
        try:
            try:
                return self._asked(question, at_once=at_once)
            except psycopg.Error:
                # The server may have been restarted since the last question.
                if not (rested and self._lost()):
                    raise
            return self._asked(question, at_once=at_once)
        except psycopg.Error as error:
            self._lost()
            raise store_down(told(error), fix=LOOK) from error

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def _asked(self, question: Callable[[Cursor], Answer], *, at_once: bool) -> Answer:
        cursor = ServerCursor(self._live().cursor())
        if not at_once:
            return question(cursor)
        cursor.execute(SNAPSHOT)
        try:
            return question(cursor)
        finally:
            with suppress(psycopg.Error):
                cursor.execute("ROLLBACK")

    def _live(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            if self._clock.monotonic() < self._rests_until:
                msg = "the server could not be reached a moment ago"
                raise store_down(msg, fix=LOOK)
            try:
                self._connection = self._connect()
            except psycopg.Error:
                self._rests_until = self._clock.monotonic() + REST_SECONDS
                raise
        return self._connection

    def _lost(self) -> bool:
        """Let go of a connection that is lost; return whether there is none now."""
        if self._connection is not None and self._connection.closed:
            self._connection.close()
            self._connection = None
        return self._connection is None

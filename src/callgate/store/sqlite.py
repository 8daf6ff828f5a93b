"""The store in one SQLite file: no server, and as many processes of one machine as open it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from callgate.clock import Clock
from callgate.errors import Misconfigured
from callgate.store import GateIdentity, schema
from callgate.store.aside import Aside
from callgate.store.database import DatabaseStore
from callgate.store.file import OpenedFile, create_file
from callgate.store.groups import store_down
from callgate.store.heartbeat import IDLE_SECONDS, Heartbeat
from callgate.store.reads import Reader
from callgate.store.sql import Cursor
from callgate.store.writer import LOOK, Opened, Writer

Answer = TypeVar("Answer")

Synchronous = Literal["FULL", "NORMAL"]

READ_BUSY_SECONDS: Final = 0.2
"""How long a read waits, and the event loop with it. Writers never make it wait: only who repairs
the log after a crash, for a moment, or who has the whole file for itself."""


class SqliteStore(DatabaseStore):
    """A :class:`callgate.store.Store` in a file; make it with :meth:`open`.

    Whether money is left is decided inside the transaction, from the file alone, so several
    processes may share it.
    """

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        gate: GateIdentity | None,
        synchronous: Synchronous = "FULL",
        busy_seconds: float = schema.BUSY_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> Self:
        """Open the file, make or migrate its tables, and take over what dead gates left.

        Args:
            path: The file; it and its folder are made if missing, for this user alone.
            clock: Wall time for rows, monotonic time for the heartbeat.
            gate: The process that will own attempts; None for one that reads and administers,
                which is not listed as a gate and cannot admit.
            synchronous: ``FULL`` makes a commit survive a power failure, ``NORMAL`` only a crash.
            busy_seconds: How long a write waits for another process before it is StoreDown.
            idle_seconds: How long a task may be without a call before it ends.

        Raises:
            Misconfigured: The file is of a newer version, on a network filesystem, not a
                database, or cannot be written.
            StoreDown: Another process does not let it write.
        """
        create_file(path)
        heartbeat = None if gate is None else Heartbeat(gate, clock, idle_seconds=idle_seconds)
        connect = partial(_connect, path, synchronous=synchronous, busy_seconds=busy_seconds)
        books = FileBooks(schema.connect(path, busy_seconds=min(busy_seconds, READ_BUSY_SECONDS)))
        reader = Reader(books)
        others = FileBooks(schema.connect(path, busy_seconds=busy_seconds))
        writer = Writer(connect, busy_seconds=busy_seconds, chore=heartbeat)
        try:
            await writer.open()
        except BaseException:
            reader.close()
            others.close()
            raise
        # From its first read on it holds the files, also when they are moved.
        for each in (reader, Reader(others)):
            each.find_task("")
        owner = None if gate is None else gate.id
        return cls(
            writer, reader, aside=Aside(others), clock=clock, heartbeat=heartbeat, owner=owner
        )


class FileBooks:
    """A connection that only reads; see :class:`callgate.store.reads.Books`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = 1")
        self._connection = connection

    def ask(self, question: Callable[[Cursor], Answer], /, *, at_once: bool = False) -> Answer:
        """Return the answer to a question."""
        try:
            cursor = self._connection.cursor()
            if not at_once:
                return question(cursor)
            cursor.execute("BEGIN")
            try:
                return question(cursor)
            finally:
                cursor.execute("COMMIT")
        except sqlite3.Error as error:
            raise store_down(str(error), fix=LOOK) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _connect(path: Path, *, synchronous: Synchronous, busy_seconds: float) -> Opened:
    connection = schema.connect(path, busy_seconds=busy_seconds)
    try:
        schema.prepare(connection, path, synchronous=synchronous)
    except Misconfigured:
        connection.close()
        raise
    return Opened(connection, OpenedFile(path).is_there)

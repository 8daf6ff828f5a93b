"""The store in a PostgreSQL database, for gates of several machines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import psycopg

from callgate.clock import Clock
from callgate.store import GateIdentity
from callgate.store.aside import Aside
from callgate.store.database import DatabaseStore
from callgate.store.file import unusable
from callgate.store.heartbeat import IDLE_SECONDS
from callgate.store.postgresql.books import ServerBooks
from callgate.store.postgresql.clock import ServerClock, ServerHeartbeat
from callgate.store.postgresql.connection import ServerSession, connect
from callgate.store.postgresql.tables import prepare
from callgate.store.postgresql.writer import ServerWriter, told
from callgate.store.reads import Reader
from callgate.store.schema import BUSY_SECONDS


class PostgresqlStore(DatabaseStore):
    """A :class:`callgate.store.Store` on a server; make it with :meth:`open`.

    Whether money is left is decided inside the transaction, from the database alone, and one lock
    lets one gate in at a time, so gates of several machines share every limit.
    """

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock,
        gate: GateIdentity | None,
        busy_seconds: float = BUSY_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> Self:
        """Connect, make or migrate the tables, and take over what dead gates left.

        Args:
            url: Where the database is, as libpq takes it.
            clock: Wall time for rows, monotonic time for the heartbeat. A :class:`ServerClock`
                is set by the database's.
            gate: The process that will own attempts; None for one that reads and administers,
                which is not listed as a gate and cannot admit.
            busy_seconds: How long a write waits for the server or other gates before it is
                StoreDown.
            idle_seconds: How long a task may be without a call before it ends.

        Raises:
            Misconfigured: The server cannot be reached or lets nobody in, the database is of a newer
                version, or its tables cannot be made.
            StoreDown: Another gate does not let it write.
        """
        connecting = partial(connect, url, busy_seconds=busy_seconds)
        books, others = (ServerBooks(connecting, clock) for _ in range(2))
        heartbeat = (
            None if gate is None else ServerHeartbeat(gate, clock, idle_seconds=idle_seconds)
        )
        session = partial(_session, connecting, clock, busy_seconds=busy_seconds)
        writer = ServerWriter(session, chore=heartbeat)
        await writer.open()
        owner = None if gate is None else gate.id
        return cls(
            writer,
            Reader(books),
            aside=Aside(others),
            clock=clock,
            heartbeat=heartbeat,
            owner=owner,
        )


def _session(
    connecting: Callable[[], psycopg.Connection[Any]], clock: Clock, *, busy_seconds: float
) -> ServerSession:
    connection = connecting()
    try:
        session = ServerSession(connection, busy_seconds=busy_seconds)
        prepare(session)
        if isinstance(clock, ServerClock):
            clock.set(session.cursor)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError):
            fix = "name a database whose schema is this user's own as [gate] store"
            msg = f"the database cannot be used as a store: {told(error)}; {fix}"
            raise unusable(msg, fix) from error
        raise
    return session

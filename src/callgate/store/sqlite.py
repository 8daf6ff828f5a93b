"""The store on SQLite: the default, one file, no server."""

from __future__ import annotations

import sqlite3
from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from callgate.clock import Clock
from callgate.errors import Misconfigured
from callgate.store import (
    AttemptRow,
    CallEnd,
    CallRow,
    CallState,
    GateRow,
    Grant,
    Intent,
    Key,
    Refusal,
    Settlement,
    TaskRow,
    operations,
    recovery,
    rows,
)
from callgate.store.identity import GateIdentity
from callgate.store.schema import migrate
from callgate.store.writer import Chore, Writer
from callgate.task import Task

Result = TypeVar("Result")

BUSY_SECONDS = 5.0
"""How long a write waits for another process that holds the file."""

TASKS = (
    "SELECT t.id, t.type, t.agent, t.user, t.parent, t.budget_nano, t.started_at, t.deadline_at,"
    " t.ended_at, l.spent_nano, l.held_nano,"
    " (SELECT count(*) FROM calls c WHERE c.task_id = t.id),"
    " (SELECT count(*) FROM calls c WHERE c.task_id = t.id AND c.state = 'refused'),"
    " (SELECT coalesce(max(a.estimated), 0) FROM calls c JOIN attempts a ON a.call_id = c.id"
    "   WHERE c.task_id = t.id),"
    " (SELECT count(*) FROM calls c JOIN attempts a ON a.call_id = c.id"
    "   WHERE c.task_id = t.id AND a.cost_nano IS NULL AND a.state != 'running')"
    " FROM tasks t JOIN ledger l ON l.scope = 'task:' || t.id AND l.window = 'task'"
)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A scope whose ledger is not what its attempts add up to; nano-dollars."""

    scope: str
    spent_nano: int
    spent_by_attempts_nano: int
    held_nano: int
    held_by_attempts_nano: int


class SqliteStore:
    """Everything in one SQLite file; see :class:`callgate.store.Store` for what each method does."""

    def __init__(
        self,
        writing: sqlite3.Connection,
        reading: sqlite3.Connection,
        *,
        clock: Clock,
        gate: GateIdentity | None,
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._clock = clock
        self._gate = gate
        self._closed = False
        self._writer = Writer(writing, clock=clock, chores=self._chores())

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        gate: GateIdentity | None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> SqliteStore:
        """Open the file, making it if it is not there.

        Args:
            path: The file; its folder is made too, for its owner only.
            clock: Where time comes from.
            gate: The process that makes attempts through this store; None for a command that
                only looks.
            busy_seconds: How long a write waits for another process.

        Raises:
            Misconfigured: The file cannot be opened, is not a store, or is of a newer version.
        """
        try:
            _prepare(path)
            writing = rows.connect(path, writes=True, busy_seconds=busy_seconds)
            writing.execute("PRAGMA journal_mode = WAL")
            writing.execute("PRAGMA synchronous = FULL")
            migrate(writing, path)
            if gate is not None:
                writing.execute("BEGIN IMMEDIATE")
                recovery.register(writing, gate, clock.now())
                recovery.reap(writing, clock.now())
                writing.execute("COMMIT")
            reading = rows.connect(path, writes=False, busy_seconds=busy_seconds)
        except (OSError, sqlite3.Error) as error:
            msg = f"the store {path} cannot be opened: {error}; name another file in [gate] store"
            raise Misconfigured(msg) from error
        return cls(writing, reading, clock=clock, gate=gate)

    def admit(self, intent: Intent, /) -> Future[Grant]:
        """Hold the money and write the intent."""
        owner = None if self._gate is None else self._gate.id
        return self._write(partial(_admit, intent=intent, owner=owner))

    def settle(self, settlement: Settlement, /) -> Future[None]:
        """Book an attempt, once."""
        return self._write(lambda connection: operations.settle(connection, settlement))

    def end_call(self, end: CallEnd, /) -> Future[None]:
        """Write how a call ended."""
        return self._write(lambda connection: operations.end_call(connection, end))

    def refuse(self, refusal: Refusal, /) -> Future[None]:
        """Write the row of a call that never had an attempt."""
        return self._write(lambda connection: operations.refuse(connection, refusal))

    def create_task(self, task: Task, /) -> Future[Task]:
        """Write a task, or open the stored one again."""
        return self._write(lambda connection: operations.create_task(connection, task))

    def end_task(self, task_id: str, ended_at: float, /) -> Future[None]:
        """Mark a task as ended."""
        return self._write(lambda connection: operations.end_task(connection, task_id, ended_at))

    def create_key(self, key: Key, /) -> Future[None]:
        """Write a key."""
        return self._write(lambda connection: operations.create_key(connection, key))

    def revoke_key(self, key_id: str, revoked_at: float, /) -> Future[bool]:
        """Revoke a key."""
        return self._write(lambda connection: operations.revoke_key(connection, key_id, revoked_at))

    def set_url(self, url: str, /) -> Future[None]:
        """Note where this process can be reached."""
        return self._write_gate("UPDATE gates SET url = ? WHERE id = ?", url)

    def set_reload(self, reloaded_at: float, error: str | None, /) -> Future[None]:
        """Note how this process's last reload went."""
        return self._write_gate(
            "UPDATE gates SET reloaded_at = ?, reload_error = ? WHERE id = ?",
            rows.micros(reloaded_at),
            error,
        )

    def find_key(self, digest: bytes, /) -> Key | None:
        """Return the key with this SHA-256."""
        row = self._one(f"SELECT {rows.KEY_COLUMNS} FROM keys WHERE digest = ?", digest)
        return None if row is None else rows.key_of(row)

    def keys(self) -> Sequence[Key]:
        """Return all keys, newest first."""
        found = self._all(f"SELECT {rows.KEY_COLUMNS} FROM keys ORDER BY created_at DESC, id")
        return [rows.key_of(row) for row in found]

    def find_task(self, task_id: str, /) -> Task | None:
        """Return a task."""
        row = self._one(operations.FIND_TASK, task_id)
        return None if row is None else rows.task_of(row)

    def count_retries(self, task_id: str, /) -> int:
        """Return how many attempts of a task's calls were not the first of their call."""
        row = self._one("SELECT count(*) FROM attempts WHERE task_id = ? AND n > 1", task_id)
        return 0 if row is None else row[0]

    def task_row(self, task_id: str, /) -> TaskRow | None:
        """Return a task with its ledger."""
        row = self._one(f"{TASKS} WHERE t.id = ?", task_id)
        return None if row is None else rows.task_row_of(row)

    def tasks(self, *, limit: int = 50, agent: str | None = None) -> Sequence[TaskRow]:
        """Return tasks, newest first."""
        where, values = ("", ()) if agent is None else (" WHERE t.agent = ?", (agent,))
        found = self._all(
            f"{TASKS}{where} ORDER BY t.started_at DESC, t.id LIMIT ?", *values, limit
        )
        return [rows.task_row_of(row) for row in found]

    def calls(
        self,
        *,
        task_id: str | None = None,
        limit: int | None = 50,
        state: CallState | None = None,
    ) -> Sequence[CallRow]:
        """Return calls with their attempts, newest first."""
        filters = {"task_id": task_id, "state": state}
        named = {name: value for name, value in filters.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in named) or "1"
        found = self._all(
            f"SELECT {rows.CALL_COLUMNS} FROM calls WHERE {where}"
            " ORDER BY started_at DESC, id LIMIT ?",
            *named.values(),
            -1 if limit is None else limit,
        )
        return [rows.call_of(row, self._attempts(row[0])) for row in found]

    def find_call(self, call_id: str, /) -> CallRow | None:
        """Return one call with its attempts."""
        row = self._one(f"SELECT {rows.CALL_COLUMNS} FROM calls WHERE id = ?", call_id)
        return None if row is None else rows.call_of(row, self._attempts(call_id))

    def gates(self) -> Sequence[GateRow]:
        """Return the gates that are alive, as far as their heartbeats tell."""
        since = rows.micros(self._clock.now() - recovery.SILENT_SECONDS)
        found = self._all(
            f"SELECT {rows.GATE_COLUMNS} FROM gates WHERE beat_at >= ? ORDER BY started_at", since
        )
        return [rows.gate_of(row) for row in found]

    def verify(self) -> Sequence[Difference]:
        """Return the scopes whose ledger is not what their attempts add up to; none is right."""
        found = self._all(
            "SELECT scope, spent_nano, spent, held_nano, held FROM (SELECT l.scope, l.spent_nano,"
            " coalesce(sum(a.cost_nano), 0) AS spent, l.held_nano,"
            " coalesce(sum(CASE WHEN a.state = 'running' THEN a.reserved_nano END), 0) AS held"
            " FROM ledger l LEFT JOIN attempts a ON l.scope = 'task:' || a.task_id"
            " GROUP BY l.scope, l.window) WHERE spent_nano != spent OR held_nano != held"
        )
        return [
            Difference(
                scope=row[0],
                spent_nano=row[1],
                spent_by_attempts_nano=row[2],
                held_nano=row[3],
                held_by_attempts_nano=row[4],
            )
            for row in found
        ]

    async def close(self) -> None:
        """Finish what was submitted, sign off, and close."""
        if self._closed:
            return
        self._closed = True
        gate = self._gate
        if gate is not None:
            # What still runs stays for whoever reaps: it is not known how it ends.
            self._write(partial(_sign_off, gate_id=gate.id))
        await self._writer.close()
        self._writing.close()
        self._reading.close()

    def _chores(self) -> tuple[Chore, ...]:
        gate, clock = self._gate, self._clock
        if gate is None:
            return ()
        return (
            Chore(
                lambda connection: recovery.beat(connection, gate, clock.now()),
                every_seconds=recovery.BEAT_EVERY_SECONDS,
            ),
            Chore(
                lambda connection: recovery.reap(connection, clock.now()),
                every_seconds=recovery.REAP_EVERY_SECONDS,
            ),
        )

    def _write(self, operation: Callable[[sqlite3.Connection], Result]) -> Future[Result]:
        return self._writer.submit(operation)

    def _write_gate(self, statement: str, *values: object) -> Future[None]:
        gate_id = None if self._gate is None else self._gate.id
        return self._write(partial(_execute, statement=statement, values=(*values, gate_id)))

    def _attempts(self, call_id: str) -> list[AttemptRow]:
        found = self._all(
            f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempts WHERE call_id = ? ORDER BY n", call_id
        )
        return [rows.attempt_of(row) for row in found]

    def _one(self, statement: str, *values: object) -> Any:
        return self._reading.execute(statement, values).fetchone()

    def _all(self, statement: str, *values: object) -> list[Any]:
        return self._reading.execute(statement, values).fetchall()


def _admit(connection: sqlite3.Connection, *, intent: Intent, owner: str | None) -> Grant:
    return operations.admit(connection, intent, owner)


def _execute(connection: sqlite3.Connection, *, statement: str, values: tuple[object, ...]) -> None:
    connection.execute(statement, values)


def _sign_off(connection: sqlite3.Connection, *, gate_id: str) -> None:
    """Take a gate off the list, unless attempts of it are still open for recovery to book."""
    connection.execute(
        "DELETE FROM gates WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM attempts WHERE owner = gates.id AND state = 'running')",
        (gate_id,),
    )


def _prepare(path: Path) -> None:
    """Make the folder and the file for their owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)

"""The store in one SQLite file: no server, and as many processes of one machine as open it."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

from callgate.clock import Clock
from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.store import (
    CallEnd,
    CallKind,
    CallRow,
    CallState,
    GateIdentity,
    GateRow,
    Grant,
    Grouping,
    Hold,
    Imbalance,
    Intent,
    Key,
    LimitRow,
    Refusal,
    Settlement,
    Spending,
    TaskRow,
    rules,
    schema,
    tasks,
    writes,
)
from callgate.store.admission import Admission
from callgate.store.calendar import Window
from callgate.store.file import OpenedFile, create_file
from callgate.store.heartbeat import IDLE_SECONDS, Heartbeat
from callgate.store.imbalances import imbalances
from callgate.store.limits import Limit
from callgate.store.owners import SILENT_SECONDS
from callgate.store.reads import Reader
from callgate.store.spending import first_sent_at, holds, spending, spent_since
from callgate.store.writer import Opened, Writer
from callgate.task import Task

Synchronous = Literal["FULL", "NORMAL"]

READ_BUSY_SECONDS: Final = 0.2
"""How long a read waits, and the event loop with it. Writers never make it wait: only who repairs
the log after a crash, for a moment, or who has the whole file for itself."""


class SqliteStore:
    """A :class:`callgate.store.Store` in a file; make it with :meth:`open`.

    Writes go to one :class:`Writer`, which commits them in groups; reads run where they are called,
    on a connection that never waits for it. Whether money is left is decided inside the transaction,
    from the file alone, so several processes may share it.
    """

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        *,
        clock: Clock,
        heartbeat: Heartbeat | None,
        owner: str | None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._heartbeat = heartbeat
        self._admission = None if owner is None else Admission(owner)

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
        reader = Reader(schema.connect(path, busy_seconds=min(busy_seconds, READ_BUSY_SECONDS)))
        writer = Writer(connect, busy_seconds=busy_seconds, chore=heartbeat)
        try:
            await writer.open()
        except BaseException:
            reader.close()
            raise
        # From its first read on it holds the files, also when they are moved.
        reader.find_task("")
        owner = None if gate is None else gate.id
        return cls(writer, reader, clock=clock, heartbeat=heartbeat, owner=owner)

    def admit(self, intent: Intent, /) -> Future[Grant]:
        """Hold the money and write the attempt's intent, in one transaction, or do neither."""
        if self._admission is None:
            msg = "this store was opened without a gate, so nobody would settle what it admits"
            raise RuntimeError(msg)
        return self._writer.submit(self._admission, intent)

    def settle(self, settlement: Settlement, /) -> Future[None]:
        """Free the hold, book the cost and write the outcome; a second time does nothing."""
        return self._writer.submit(writes.settle, settlement)

    def end_call(self, end: CallEnd, /) -> Future[None]:
        """Write the outcome of a call whose attempts are all settled."""
        return self._writer.submit(writes.end_call, end)

    def refuse(self, refusal: Refusal, /) -> Future[None]:
        """Write the audit row of a call that never had an attempt, and its task if it is new."""
        return self._writer.submit(writes.refuse, refusal)

    def create_task(self, task: Task, /) -> Future[Task]:
        """Write a task; return the stored one if it exists."""
        return self._writer.submit(tasks.create_task, task)

    def end_task(self, task_id: str, ended_at: float, /) -> Future[None]:
        """Mark a task as ended."""
        return self._writer.submit(tasks.end_task, (task_id, ended_at))

    def create_key(self, key: Key, /) -> Future[None]:
        """Write a key."""
        return self._writer.submit(writes.create_key, key)

    def revoke_key(self, key_id: str, revoked_at: float, /) -> Future[bool]:
        """Revoke a key; return False if there is none of that id."""
        return self._writer.submit(writes.revoke_key, (key_id, revoked_at))

    def load_limits(self, limits: Sequence[Limit], revision: int, /) -> Future[bool]:
        """Let the limits of a settings file hold; False if those of a newer file do already."""
        return self._writer.submit(rules.load, (tuple(limits), revision))

    def override(self, limit: Limit, /) -> Future[None]:
        """Let an override hold."""
        return self._writer.submit(rules.override, limit)

    def lift(self, scope: str, name: str, /) -> Future[bool]:
        """Take an override back; return False if there is none."""
        return self._writer.submit(rules.lift, (scope, name))

    def raise_budget(self, task_id: str, budget: Money | None, /) -> Future[bool]:
        """Set a task's own budget; return False for an unknown task."""
        return self._writer.submit(rules.raise_budget, (task_id, budget))

    def limits(self, windows: Sequence[Window] = (), /) -> Sequence[LimitRow]:
        """Return every limit, and what is used of it where the windows of now are told."""
        return self._reader.limits(windows, self._clock.now())

    def spending(
        self,
        by: Grouping | None,
        /,
        *,
        since: float,
        until: float,
        days: Sequence[Window] = (),
        kind: CallKind | None = None,
    ) -> Sequence[Spending]:
        """Return what was spent, the most first; by day, the first first."""
        return self._reader.ask(
            partial(spending, by=by, since=since, until=until, days=days, kind=kind)
        )

    def spent_since(self, scope: str, instants: Sequence[float], /) -> Sequence[Money]:
        """Return what the attempts of a scope have cost since each of some instants."""
        return self._reader.ask(partial(spent_since, scope=scope, instants=instants))

    def first_sent_at(self) -> float | None:
        """Return when the first attempt of all left; None where none has."""
        return self._reader.ask(first_sent_at)

    def users(self) -> Sequence[str]:
        """Return every user that a task was for."""
        return self._reader.users()

    def holds(self) -> Sequence[Hold]:
        """Return the attempts that run, the oldest first."""
        return self._reader.ask(partial(holds, now=self._clock.now()))

    def set_url(self, url: str, /) -> Future[None]:
        """Note where this process can be reached."""
        return self._writer.submit(self._beating().set_url, url)

    def set_reload(self, reloaded_at: float, error: str | None, /) -> Future[None]:
        """Note how this process's last reload of the settings went."""
        return self._writer.submit(self._beating().set_reload, (reloaded_at, error))

    def find_key(self, digest: bytes, /) -> Key | None:
        """Return the key with this SHA-256, revoked or expired ones too."""
        return self._reader.find_key(digest)

    def keys(self) -> Sequence[Key]:
        """Return all keys, newest first."""
        return self._reader.keys()

    def find_task(self, task_id: str, /) -> Task | None:
        """Return a task."""
        return self._reader.find_task(task_id)

    def count_retries(self, task_id: str, /) -> int:
        """Return how many attempts of a task's calls were not the first of their call."""
        return self._reader.count_retries(task_id)

    def task_row(self, task_id: str, /) -> TaskRow | None:
        """Return a task with its ledger."""
        return self._reader.task_row(task_id)

    def tasks(self, *, limit: int = 50, agent: str | None = None) -> Sequence[TaskRow]:
        """Return tasks, newest first."""
        return self._reader.tasks(limit, agent)

    def calls(
        self, *, task_id: str | None = None, limit: int | None = 50, state: CallState | None = None
    ) -> Sequence[CallRow]:
        """Return calls with their attempts, newest first."""
        return self._reader.calls(task_id, limit, state)

    def find_call(self, call_id: str, /) -> CallRow | None:
        """Return one call with its attempts."""
        return self._reader.find_call(call_id)

    def gates(self) -> Sequence[GateRow]:
        """Return the gate processes whose heartbeat is at most 20 seconds old."""
        return self._reader.gates(self._clock.now() - SILENT_SECONDS)

    def verify(self) -> Sequence[Imbalance]:
        """Return every scope whose ledger is not what its attempts add up to."""
        return self._reader.ask(imbalances)

    async def close(self) -> None:
        """Finish what was submitted, book what still runs as unknown, and close."""
        await self._writer.close()
        self._reader.close()

    def _beating(self) -> Heartbeat:
        if self._heartbeat is None:
            msg = "this store was opened without a gate, which has neither a URL nor a reload"
            raise RuntimeError(msg)
        return self._heartbeat


def _connect(path: Path, *, synchronous: Synchronous, busy_seconds: float) -> Opened:
    connection = schema.connect(path, busy_seconds=busy_seconds)
    try:
        schema.prepare(connection, path, synchronous=synchronous)
    except Misconfigured:
        connection.close()
        raise
    return Opened(connection, OpenedFile(path).is_there)

"""What is read, as records; a connection of its own, so that no read waits for a write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from callgate.money import Money
from callgate.store import (
    AttemptRow,
    CallRow,
    CallState,
    GateRow,
    Imbalance,
    Key,
    LimitRow,
    TaskRow,
)
from callgate.store.calendar import Window
from callgate.store.limits import Limits
from callgate.store.meters import totals
from callgate.store.rows import (
    ATTEMPT_COLUMNS,
    CALL_COLUMNS,
    GATE_COLUMNS,
    KEY_COLUMNS,
    LIMIT_COLUMNS,
    MICROS,
    TASK_COLUMNS,
    Row,
    attempt_of,
    call_of,
    gate_of,
    key_of,
    limit_of,
    micros,
    task_of,
    task_row_of,
)
from callgate.store.tasks import READ_TASK
from callgate.store.writer import LOOK, store_down
from callgate.task import Task

TASK_ROWS = f"""
    SELECT {TASK_COLUMNS}, l.spent_nano, l.held_nano,
        (SELECT count(*) FROM calls c WHERE c.task_id = t.id),
        (SELECT count(*) FROM calls c WHERE c.task_id = t.id AND c.state = 'refused'),
        (SELECT coalesce(max(a.estimated), 0) FROM calls c JOIN attempts a ON a.call_seq = c.seq
            WHERE c.task_id = t.id),
        (SELECT count(*) FROM calls c JOIN attempts a ON a.call_seq = c.seq
            WHERE c.task_id = t.id AND a.state <> 'running' AND a.cost_nano IS NULL)
    FROM tasks t JOIN ledger l ON l.scope = 'task:' || t.id AND l."window" = 'all'
"""

FIND_KEY = f"SELECT {KEY_COLUMNS} FROM keys WHERE digest = ?"

# The terms after a state that went wrong are those of the index over such calls.
BY_STATE = {
    "running": "state = 'running'",
    "ok": "state = 'ok'",
    "refused": "state = 'refused' AND state <> 'ok' AND state <> 'running'",
    "failed": "state = 'failed' AND state <> 'ok' AND state <> 'running'",
    "left": "state = 'left' AND state <> 'ok' AND state <> 'running'",
}

IMBALANCES = """
    WITH booked AS (
        SELECT 'task:' || task_id AS scope, 'all' AS "window",
            coalesce(sum(cost_nano), 0) AS spent,
            coalesce(sum(CASE WHEN state = 'running' THEN reserved_nano END), 0) AS held
        FROM attempts GROUP BY task_id
    )
    SELECT scope, "window", l.spent_nano, l.held_nano, coalesce(b.spent, 0), coalesce(b.held, 0)
    FROM ledger l LEFT JOIN booked b USING (scope, "window")
    WHERE l."window" = 'all'
        AND (l.spent_nano <> coalesce(b.spent, 0) OR l.held_nano <> coalesce(b.held, 0))
    UNION ALL
    SELECT scope, "window", 0, 0, spent, held FROM booked
    WHERE (scope, "window") NOT IN (SELECT scope, "window" FROM ledger)
"""


WINDOWS = """
    SELECT scope, "window", spent_nano, held_nano, calls, starts_at, ends_at FROM ledger
    WHERE starts_at IS NOT NULL
"""


class Reader:
    """Answers questions from what is committed.

    Args:
        connection: A connection that writes nothing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = 1")
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find_key(self, digest: bytes, /) -> Key | None:
        """Return the key with this digest."""
        row = self._one(FIND_KEY, (digest,))
        return None if row is None else key_of(row)

    def keys(self) -> list[Key]:
        """Return all keys, newest first."""
        sql = f"SELECT {KEY_COLUMNS} FROM keys ORDER BY created_at DESC, id DESC"
        return [key_of(row) for row in self._all(sql, ())]

    def find_task(self, task_id: str, /) -> Task | None:
        """Return a task."""
        row = self._one(READ_TASK, (f"task:{task_id}", task_id))
        return None if row is None else task_of(row)

    def count_retries(self, task_id: str, /) -> int:
        """Return how many attempts were not the first of their call."""
        (count,) = self._all(
            "SELECT count(*) FROM attempts WHERE task_id = ? AND n > 1", (task_id,)
        )[0]
        return int(count)

    def task_row(self, task_id: str, /) -> TaskRow | None:
        """Return a task with its ledger."""
        row = self._one(f"{TASK_ROWS} WHERE t.id = ?", (task_id,))
        return None if row is None else task_row_of(row)

    def tasks(self, limit: int, agent: str | None) -> list[TaskRow]:
        """Return tasks, newest first."""
        only = "" if agent is None else "WHERE t.agent = ?"
        sql = f"{TASK_ROWS} {only} ORDER BY t.seq DESC LIMIT ?"
        given = (limit,) if agent is None else (agent, limit)
        return [task_row_of(row) for row in self._all(sql, given)]

    def find_call(self, call_id: str, /) -> CallRow | None:
        """Return one call."""
        return next(iter(self._calls("id = ?", (call_id,), limit=1)), None)

    def calls(
        self, task_id: str | None, limit: int | None, state: CallState | None
    ) -> list[CallRow]:
        """Return calls, newest first."""
        where = [] if state is None else [BY_STATE[state]]
        if task_id is None:
            return self._calls(" AND ".join(where) or "1", (), limit=limit)
        return self._calls(" AND ".join(("task_id = ?", *where)), (task_id,), limit=limit)

    def gates(self, beat_since: float, /) -> list[GateRow]:
        """Return the gates that beat at or after an instant."""
        sql = f"SELECT {GATE_COLUMNS} FROM gates WHERE beat_at >= ? ORDER BY started_at"
        return [gate_of(row) for row in self._all(sql, (micros(beat_since),))]

    def limits(self, now: float) -> list[LimitRow]:
        """Return every limit."""
        rows = [limit_of(row) for row in self._all(f"SELECT {LIMIT_COLUMNS} FROM limits", ())]
        known = Limits(rows)
        holding = {id(each.limit) for scope in known for each in known.of((scope,), now=now)}
        return [LimitRow(limit=row, holds=id(row) in holding) for row in rows]

    def verify(self) -> list[Imbalance]:
        """Return every scope whose ledger is not what its attempts add up to."""
        rows = [*self._all(IMBALANCES, ()), *self._window_imbalances()]
        return [
            Imbalance(
                scope=scope, window=window, spent=Money(spent), held=Money(held),
                attempts_spent=Money(attempts_spent), attempts_held=Money(attempts_held),
            )
            for scope, window, spent, held, attempts_spent, attempts_held in rows
        ]  # fmt: skip

    def _window_imbalances(self) -> Iterator[Row]:
        """Add up the attempts of every window again, by who made them and when."""
        for scope, key, spent, held, calls, starts_at, ends_at in self._all(WINDOWS, ()):
            window = Window(
                span="day", key=key, starts_at=starts_at / MICROS, ends_at=ends_at / MICROS
            )
            told = totals(self._connection.cursor(), scope, window)
            if told != (spent, held, calls):
                yield (scope, key, spent, held, *told[:2])

    def _calls(self, where: str, given: Row, *, limit: int | None) -> list[CallRow]:
        chosen = f"FROM calls WHERE {where} ORDER BY seq DESC LIMIT ?"
        given = (*given, -1 if limit is None else limit)
        # One snapshot: no attempt of a call that the first answer does not have.
        self._all("BEGIN", ())
        try:
            calls = self._all(f"SELECT {CALL_COLUMNS} {chosen}", given)
            of_calls = f"call_seq IN (SELECT seq {chosen})"
            sql = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE {of_calls} ORDER BY call_seq, n"
            attempts = self._all(sql, given)
        finally:
            self._all("COMMIT", ())
        return _with_attempts(calls, attempts)

    def _one(self, sql: str, given: Row) -> Row | None:
        rows = self._all(sql, given)
        return rows[0] if rows else None

    def _all(self, sql: str, given: Row) -> list[Row]:
        try:
            return self._connection.execute(sql, given).fetchall()
        except sqlite3.Error as error:
            raise store_down(str(error), fix=LOOK) from error


def _with_attempts(calls: Sequence[Row], attempts: Iterable[Row]) -> list[CallRow]:
    of_call: dict[int, list[AttemptRow]] = {}
    for row in attempts:
        of_call.setdefault(row[0], []).append(attempt_of(row))
    return [call_of(row, tuple(of_call.get(row[0], ()))) for row in calls]

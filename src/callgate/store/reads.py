"""What is read, as records; a connection of its own, so that no read waits for a write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from callgate.call import Usage
from callgate.store import (
    AttemptRow,
    CallRow,
    CallState,
    GateRow,
    Key,
    LimitRow,
    MadeReply,
    Resent,
    TaskRow,
)
from callgate.store.calendar import Window
from callgate.store.limits import Limits
from callgate.store.replies import IS_KEPT
from callgate.store.rows import (
    ATTEMPT_COLUMNS,
    CALL_COLUMNS,
    GATE_COLUMNS,
    KEY_COLUMNS,
    LIMIT_COLUMNS,
    TASK_COLUMNS,
    Row,
    attempt_of,
    call_of,
    gate_of,
    key_of,
    limit_of,
    made_reply_of,
    micros,
    task_of,
    task_row_of,
)
from callgate.store.sql import WITHOUT_END, Cursor
from callgate.store.tasks import READ_TASK
from callgate.store.uses import used
from callgate.task import Task

Answer = TypeVar("Answer")

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

RETRIES = """
    SELECT (SELECT count(*) FROM attempts WHERE task_id = ? AND n > 1)
        + (SELECT count(*) FROM calls WHERE task_id = ? AND client_retry > 0 AND owner IS NOT NULL)
"""

SENT_IN_TASK = "SELECT task_id FROM calls WHERE task_id = ? AND fingerprint = ? AND agent = ?"

# A task that a caller has named is found by its name, and never by what was asked in it.
UNNAMED = """
    SELECT task_id, seq FROM calls WHERE agent = ? AND fingerprint = ? AND started_at >= ?
        AND coalesce("user", '') = ? AND task_type = ? AND task_id LIKE 'task~_%' ESCAPE '~'
"""

# One statement: a call that ends meanwhile is in one of both.
SENT = f"""
    SELECT task_id FROM (
        {UNNAMED} AND state <> 'ok' AND state <> 'running' UNION ALL {UNNAMED} AND state = 'running'
    ) AS sent ORDER BY seq DESC LIMIT 1
"""

TOKENS = " + ".join(f"a.{bucket}" for bucket in Usage.__struct_fields__)

ATTEMPTS = "attempts LEFT JOIN repriced ON attempt_seq = seq"

FIND_KEY = f"SELECT {KEY_COLUMNS} FROM keys WHERE digest = ?"

# The term after the id is that of the index over such replies.
FIND_REPLY = f"""
    SELECT a.provider, a.model, c.agent, c."user", {TOKENS}
    FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE reply_id = ? AND {IS_KEPT}
    ORDER BY a.seq DESC LIMIT 1
"""

# The terms after a state that went wrong are those of the index over such calls.
BY_STATE = {
    "running": "state = 'running'",
    "ok": "state = 'ok'",
    "refused": "state = 'refused' AND state <> 'ok' AND state <> 'running'",
    "failed": "state = 'failed' AND state <> 'ok' AND state <> 'running'",
    "left": "state = 'left' AND state <> 'ok' AND state <> 'running'",
}


class Books(Protocol):
    """A connection for reading."""

    def ask(self, question: Callable[[Cursor], Answer], /, *, at_once: bool = False) -> Answer:
        """Return the answer to a question, or raise StoreDown; see :meth:`Reader.ask`."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Reader:
    """Answers questions from what is committed.

    Args:
        books: A connection that writes nothing.
    """

    def __init__(self, books: Books) -> None:
        self._books = books

    def close(self) -> None:
        """Close the connection."""
        self._books.close()

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
        """Return how often something was tried again for a task."""
        (count,) = self._all(RETRIES, (task_id, task_id))[0]
        return int(count)

    def find_earlier(self, resent: Resent, /) -> str | None:
        """Return the task of an earlier call that a client sends again."""
        agent, alike, since = resent.agent, resent.fingerprint, micros(resent.since)
        if resent.task_id is not None:
            row = self._one(SENT_IN_TASK, (resent.task_id, alike, agent))
        else:
            given = (agent, alike, since, resent.user or "", resent.task_type)
            row = self._one(SENT, (*given, *given))
        return None if row is None else str(row[0])

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

    def find_reply(self, reply_id: str, /) -> MadeReply | None:
        """Return the newest reply of an id that begins as those do that providers keep."""
        row = self._one(FIND_REPLY, (reply_id,))
        return None if row is None else made_reply_of(row)

    def find_call(self, call_id: str, /) -> CallRow | None:
        """Return one call."""
        return next(iter(self._calls("id = ?", (call_id,), limit=1)), None)

    def calls(
        self, task_id: str | None, limit: int | None, state: CallState | None
    ) -> list[CallRow]:
        """Return calls, newest first."""
        where = [] if state is None else [BY_STATE[state]]
        if task_id is None:
            return self._calls(" AND ".join(where) or "TRUE", (), limit=limit)
        return self._calls(" AND ".join(("task_id = ?", *where)), (task_id,), limit=limit)

    def gates(self, beat_since: float, /) -> list[GateRow]:
        """Return the gates that beat at or after an instant."""
        sql = f"SELECT {GATE_COLUMNS} FROM gates WHERE beat_at >= ? ORDER BY started_at"
        return [gate_of(row) for row in self._all(sql, (micros(beat_since),))]

    def limits(self, windows: Sequence[Window], now: float) -> list[LimitRow]:
        """Return every limit, and what is used of it where the windows of now are told."""
        rows = [limit_of(row) for row in self._all(f"SELECT {LIMIT_COLUMNS} FROM limits", ())]
        known = Limits(rows)
        holding = {id(each.limit) for scope in known for each in known.of((scope,), now=now)}
        listed = [LimitRow(limit=row, holds=id(row) in holding) for row in rows]
        if not windows:
            return listed
        return self.ask(partial(used, rows=listed, windows=windows, now=now))

    def users(self) -> list[str]:
        """Return every user that a task was for."""
        sql = 'SELECT DISTINCT "user" FROM tasks WHERE "user" IS NOT NULL ORDER BY "user"'
        return [user for (user,) in self._all(sql, ())]

    def ask(self, question: Callable[[Cursor], Answer], /, *, at_once: bool = False) -> Answer:
        """Return the answer to a question.

        Args:
            question: Runs statements; it may be asked twice.
            at_once: Whether all of its statements must see the same.

        Raises:
            StoreDown: The database does not tell.
        """
        return self._books.ask(question, at_once=at_once)

    def _calls(self, where: str, given: Row, *, limit: int | None) -> list[CallRow]:
        chosen = f"FROM calls WHERE {where} ORDER BY seq DESC LIMIT ?"
        given = (*given, WITHOUT_END if limit is None else limit)
        of_calls = f"call_seq IN (SELECT seq {chosen})"
        sql = f"SELECT {ATTEMPT_COLUMNS} FROM {ATTEMPTS} WHERE {of_calls} ORDER BY call_seq, n"

        def both(cursor: Cursor) -> list[CallRow]:
            calls = cursor.execute(f"SELECT {CALL_COLUMNS} {chosen}", given).fetchall()
            return _with_attempts(calls, cursor.execute(sql, given).fetchall())

        # No attempt of a call that the first answer does not have.
        return self.ask(both, at_once=True)

    def _one(self, sql: str, given: Row) -> Row | None:
        rows = self._all(sql, given)
        return rows[0] if rows else None

    def _all(self, sql: str, given: Row) -> list[Row]:
        return self.ask(lambda cursor: cursor.execute(sql, given).fetchall())


def _with_attempts(calls: Sequence[Row], attempts: Iterable[Row]) -> list[CallRow]:
    of_call: dict[int, list[AttemptRow]] = {}
    for row in attempts:
        of_call.setdefault(row[0], []).append(attempt_of(row))
    return [call_of(row, tuple(of_call.get(row[0], ()))) for row in calls]

"""Tasks as the store writes them, and who may say that one is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from callgate.errors import Malformed, Reason
from callgate.store.lines import find_line
from callgate.store.rows import TASK_COLUMNS, maybe_micros, maybe_text, micros, task_of
from callgate.store.sql import Cursor
from callgate.task import Task

READ_TASK: Final = f"""
    SELECT {TASK_COLUMNS} FROM tasks t JOIN ledger l ON l.scope = ? AND l."window" = 'all'
    WHERE t.id = ?
"""

INSERT_TASK: Final = """
    INSERT INTO tasks (id, type, agent, "user", parent, started_at, deadline_at, ended_at, has_slot,
        models, tools)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_SCOPE: Final = """
    INSERT INTO ledger (scope, "window", cap_nano, spent_nano, held_nano) VALUES (?, 'all', ?, 0, 0)
"""

OPEN_TASK: Final = "UPDATE tasks SET ended_at = NULL, has_slot = 1 WHERE id = ?"

SEEN: Final = "UPDATE ledger SET last_at = ? WHERE scope = ? AND \"window\" = 'all'"
"""Who asks is not idle, whatever the answer."""

END_TASK: Final = """
    UPDATE tasks SET ended_at = ?, has_slot = 0 WHERE id = ? AND ended_at IS NULL
"""

END_LATE: Final = """
    UPDATE tasks SET ended_at = deadline_at, has_slot = 0
    WHERE ended_at IS NULL AND deadline_at < ?
"""

# Most have made a call lately, which the ledger tells; the others are looked through.
END_IDLE: Final = """
    UPDATE tasks SET ended_at = ?, has_slot = 0
    WHERE ended_at IS NULL AND started_at <= ?
        AND coalesce((SELECT l.last_at FROM ledger l
            WHERE l.scope = 'task:' || tasks.id AND l."window" = 'all'), 0) <= ?
        AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.task_id = tasks.id AND c.state = 'running')
        AND NOT EXISTS (SELECT 1 FROM tasks below WHERE below.parent = tasks.id
            AND below.ended_at IS NULL)
"""


def create_task(cursor: Cursor, task: Task) -> Task:
    """Write a task, if there is none of that id; return the one that is stored."""
    found = cursor.execute(READ_TASK, (f"task:{task.id}", task.id)).fetchone()
    if found is not None:
        stored = task_of(found)
        require_same(task, (stored.type, stored.agent, stored.user))
        _require_as_narrow(task, stored)
        return stored
    find_line(cursor, task, task.parent)
    insert_task(cursor, task, has_slot=False)
    return task


def end_task(cursor: Cursor, end: tuple[str, float]) -> None:
    """Mark a task as ended, once."""
    task_id, ended_at = end
    cursor.execute(END_TASK, (micros(ended_at), task_id))


def end_by_time(cursor: Cursor, now: float, *, idle_seconds: float) -> None:
    """End the tasks whose deadline is over, and those that have done nothing for a while.

    Who waits for a task below has something to do.

    Args:
        cursor: Inside a transaction.
        now: Seconds since 1970.
        idle_seconds: How long a task may be without a call.
    """
    since = micros(now - idle_seconds)
    cursor.execute(END_LATE, (micros(now),))
    cursor.execute(END_IDLE, (micros(now), since, since))


def insert_task(cursor: Cursor, task: Task, *, has_slot: bool) -> None:
    """Write a task that is not there.

    Args:
        cursor: Inside a transaction.
        task: Its parent, if it has one, is known to be good.
        has_slot: Whether it runs from now on, and so counts among the tasks that do.
    """
    cursor.execute(
        INSERT_TASK,
        (task.id, task.type, task.agent, task.user, task.parent, micros(task.started_at),
         maybe_micros(task.deadline_at), maybe_micros(task.ended_at), int(has_slot),
         maybe_text(task.models), maybe_text(task.tools)),
    )  # fmt: skip
    cap = None if task.budget is None else task.budget.nano
    cursor.execute(INSERT_SCOPE, (f"task:{task.id}", cap))


def require_same(task: Task, stored: Sequence[Any]) -> None:
    """Refuse what is said of a task that somebody else has.

    Raises:
        Malformed: Its type, agent or user is another.
    """
    said = (task.type, task.agent, task.user)
    for name, mine, known in zip(("type", "agent", "user"), said, stored, strict=True):
        if mine != known:
            fix = "use another task id"
            msg = f"task {task.id} exists with the {name} {known!r}, not {mine!r}; {fix}"
            reason = Reason(code="task_mismatch", scope=f"task:{task.id}", fix=fix)
            raise Malformed(msg, reason=reason)


def _require_as_narrow(task: Task, stored: Task) -> None:
    """Refuse to take for narrowed what is not: what a task is narrowed to never changes.

    Raises:
        Malformed: Other names are asked for than the stored task has.
    """
    for kind, asked, has in (
        ("models", task.models, stored.models),
        ("tools", task.tools, stored.tools),
    ):
        if asked is not None and asked != has:
            known = "all that its agent may use" if has is None else ", ".join(has) or "none"
            fix = "send the same or none, or use another task id"
            msg = f"task {task.id} exists, and its {kind} are {known}; {fix}"
            reason = Reason(code="task_mismatch", scope=f"task:{task.id}", fix=fix)
            raise Malformed(msg, reason=reason)

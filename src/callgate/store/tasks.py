"""Tasks as the store writes them, and who may say that one is theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from callgate.errors import Malformed, Reason
from callgate.store.rows import TASK_COLUMNS, maybe_micros, micros, task_of
from callgate.task import Task

READ_TASK: Final = f"""
    SELECT {TASK_COLUMNS} FROM tasks t JOIN ledger l ON l.scope = ? AND l."window" = 'all'
    WHERE t.id = ?
"""

INSERT_TASK: Final = """
    INSERT INTO tasks (id, type, agent, user, parent, started_at, deadline_at, ended_at, depth)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_SCOPE: Final = """
    INSERT INTO ledger (scope, "window", cap_nano, spent_nano, held_nano) VALUES (?, 'all', ?, 0, 0)
"""

END_TASK: Final = "UPDATE tasks SET ended_at = ? WHERE id = ? AND ended_at IS NULL"


def create_task(cursor: sqlite3.Cursor, task: Task) -> Task:
    """Write a task, if there is none of that id; return the one that is stored."""
    found = cursor.execute(READ_TASK, (f"task:{task.id}", task.id)).fetchone()
    if found is not None:
        stored = task_of(found)
        require_same(task, (stored.type, stored.agent, stored.user))
        return stored
    insert_task(cursor, task)
    return task


def end_task(cursor: sqlite3.Cursor, end: tuple[str, float]) -> None:
    """Mark a task as ended, once."""
    task_id, ended_at = end
    cursor.execute(END_TASK, (micros(ended_at), task_id))


def insert_task(cursor: sqlite3.Cursor, task: Task) -> None:
    """Write a task that is not there."""
    depth = depth_below(cursor, task.parent)
    cursor.execute(
        INSERT_TASK,
        (task.id, task.type, task.agent, task.user, task.parent, micros(task.started_at),
         maybe_micros(task.deadline_at), maybe_micros(task.ended_at), depth),
    )  # fmt: skip
    cap = None if task.budget is None else task.budget.nano
    cursor.execute(INSERT_SCOPE, (f"task:{task.id}", cap))


def depth_below(cursor: sqlite3.Cursor, parent: str | None) -> int:
    """Return how many tasks stand above one whose parent is ``parent``."""
    if parent is None:
        return 0
    found = cursor.execute("SELECT depth FROM tasks WHERE id = ?", (parent,)).fetchone()
    return 1 if found is None else int(found[0]) + 1


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

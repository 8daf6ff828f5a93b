"""The line of a task: those above it, up to the first. What it costs is booked in all of them."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from callgate.errors import Looping, Malformed, Reason
from callgate.store.limits import raising
from callgate.store.reservation import Budget, Level
from callgate.store.sql import Cursor
from callgate.task import Task

DEEPEST: Final = 16
"""Tasks that may stand above one; each costs a look at every admission."""

TASK_BUDGET: Final = "task budget"
"""The rule of a task's own budget, which may come from several places."""

LINE: Final = """
    WITH RECURSIVE line (id, parent) AS (
        SELECT id, parent FROM tasks WHERE id = ?
        UNION SELECT t.id, t.parent FROM line JOIN tasks t ON t.id = line.parent
    )
"""

READ: Final = f"""
    {LINE}
    SELECT t.id, t.type, t.user, l.cap_nano, l.spent_nano, l.held_nano
    FROM line JOIN tasks t ON t.id = line.id
    JOIN ledger l ON l.scope = 'task:' || line.id AND l."window" = 'all'
"""

BOOK: Final = """
    UPDATE ledger SET spent_nano = spent_nano + ?, held_nano = held_nano - ?, last_at = ?
    WHERE scope = ? AND "window" = 'all'
"""

CORRECT: Final = f"""
    {LINE}
    UPDATE ledger SET spent_nano = spent_nano + ?
    WHERE scope IN (SELECT 'task:' || id FROM line) AND "window" = 'all'
"""

BOOK_ABOVE: Final = f"""
    {LINE}
    UPDATE ledger SET spent_nano = spent_nano + ?, held_nano = held_nano - ?, last_at = ?
    WHERE scope IN (SELECT 'task:' || id FROM line) AND "window" = 'all'
"""


class Above(msgspec.Struct, frozen=True):
    """A task that stands above another, and its ledger."""

    id: str
    type: str
    user: str | None
    cap: int | None
    spent: int
    held: int


def find_line(cursor: Cursor, task: Task, parent: str | None) -> list[Above]:
    """Return the tasks above one.

    Args:
        cursor: Inside a transaction.
        task: Whose line.
        parent: The task right above it: the one that is stored, if the task is. What a call says of
            it holds for a new task only, as money is booked by what is stored.

    Raises:
        Malformed: It names a parent that its user does not have.
        Looping: Too many stand above it.
    """
    if parent is None:
        return []
    line = [Above(*row) for row in cursor.execute(READ, (parent,)).fetchall()]
    found = next((above for above in line if above.id == parent), None)
    if found is None or found.user != task.user:
        raise _no_parent(task, parent)
    if len(line) > DEEPEST:
        raise _too_deep(task)
    return line


def level_of(task: Above) -> Level | None:
    """Return how a task's own budget stands; None where it has none."""
    if task.cap is None:
        return None
    return Level(task.cap, task.spent, task.held, partial(_budget_of, task, task.cap))


def _budget_of(task: Above, cap: int) -> Budget:
    scope = f"task:{task.id}"
    return Budget(
        rule=TASK_BUDGET,
        what=f"task {task.id}",
        scope=scope,
        cap=cap,
        fix=(
            f"{raising(scope, 'task')} lets it go on; for new tasks raise budget in"
            f" [tasks.{task.type}] of callgate.toml, or --budget"
        ),
    )


def book(
    cursor: Cursor, task_id: str, parent: str | None, *, spent: int, held: int, at: int
) -> None:
    """Add to what is spent and take off what is held, of a task and of all that stand above it.

    Args:
        cursor: Inside a transaction.
        task_id: The task of an attempt.
        parent: The one above it, if any.
        spent: Nano-dollars.
        held: Nano-dollars.
        at: When, in microseconds since 1970; from then on they are idle.
    """
    cursor.execute(BOOK, (spent, held, at, f"task:{task_id}"))
    if parent is not None:
        cursor.execute(BOOK_ABOVE, (parent, spent, held, at))


def correct(cursor: Cursor, task_id: str, *, spent: int) -> None:
    """Add to what a task, and all that stand above it, have spent in the past.

    Args:
        cursor: Inside a transaction.
        task_id: The task of an attempt.
        spent: Nano-dollars; below 0 they have spent less.
    """
    cursor.execute(CORRECT, (task_id, spent))


def _no_parent(task: Task, parent: str) -> Malformed:
    fix = "name a task of the same user that has been begun, or send no Callgate-Parent-Task"
    msg = f"task {task.id} names the parent {parent!r}, and its user has no such task; {fix}"
    return Malformed(msg, reason=Reason(code="parent_mismatch", scope=f"task:{task.id}", fix=fix))


def _too_deep(task: Task) -> Looping:
    fix = "have a task higher up begin it"
    msg = f"task {task.id} stands more than {DEEPEST} tasks below the first; {fix}"
    reason = Reason(code="max_depth", scope=f"task:{task.id}", limit=DEEPEST, fix=fix)
    return Looping(msg, reason=reason)

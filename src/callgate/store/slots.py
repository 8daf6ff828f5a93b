"""Slots: how many run at once. They are counted from the rows that run, so that none can leak."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from callgate.store import Intent
from callgate.store.limits import Standing
from callgate.store.meters import BY_ATTEMPT
from callgate.store.rates import Excess, over_limit
from callgate.store.rows import micros

LOOK_AGAIN_SECONDS: Final = 1.0
"""What a caller is told to wait: nobody knows when something ends."""

RUNNING_TASKS: Final[Mapping[str, str]] = {
    "gate": "",
    "type": " AND type = ?",
    "user": " AND user = ?",
}
"""By kind of scope: the tasks that it counts, where it counts tasks."""

RUNNING_CALLS: Final = "SELECT count(*) FROM calls WHERE state = 'running' AND agent = ?"
RUNNING_ATTEMPTS: Final = "SELECT count(*) FROM attempts WHERE state = 'running' AND provider = ?"


def refuse_over_slots(
    cursor: sqlite3.Cursor, intent: Intent, standing: Sequence[Standing], *, opens_task: bool
) -> None:
    """Refuse what would be one too many at once.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.
        standing: All limits that hold for it.
        opens_task: Whether its task does not run yet.

    Raises:
        OverLimit: Every slot of some scope is taken.
    """
    limited = [each for each in standing if each.limit.name == "concurrency"]
    excesses = [
        Excess(each.limit, each.scope, running, LOOK_AGAIN_SECONDS)
        for each in limited
        if (running := _running(cursor, intent, each, opens_task=opens_task)) >= each.limit.value
    ]
    if excesses:
        raise over_limit(excesses, now=intent.sent_at)


def running_now(cursor: sqlite3.Cursor, scope: str, now: float) -> int:
    """Return how many take a slot of a scope."""
    kind, _, name = scope.partition(":")
    if kind in RUNNING_TASKS:
        return _tasks(cursor, kind, name, now)
    sql = RUNNING_ATTEMPTS if scope.startswith(BY_ATTEMPT) else RUNNING_CALLS
    return _count(cursor, sql, (name,))


def _running(
    cursor: sqlite3.Cursor, intent: Intent, standing: Standing, *, opens_task: bool
) -> int:
    """Return how many take a slot, besides what is to be admitted; -1 if that has one already."""
    kind = standing.scope.partition(":")[0]
    if kind in RUNNING_TASKS:
        takes_one = opens_task
    else:
        takes_one = intent.n == 1 or standing.scope.startswith(BY_ATTEMPT)
    return running_now(cursor, standing.scope, intent.sent_at) if takes_one else -1


def _tasks(cursor: sqlite3.Cursor, kind: str, name: str, now: float) -> int:
    sql = f"""
        SELECT count(*) FROM tasks WHERE ended_at IS NULL
            AND (deadline_at IS NULL OR deadline_at > ?){RUNNING_TASKS[kind]}
    """
    at = micros(now)
    return _count(cursor, sql, (at, name) if name else (at,))


def _count(cursor: sqlite3.Cursor, sql: str, given: tuple[object, ...]) -> int:
    (count,) = cursor.execute(sql, given).fetchone()
    return int(count)

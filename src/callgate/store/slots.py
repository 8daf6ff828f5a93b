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


def _running(
    cursor: sqlite3.Cursor, intent: Intent, standing: Standing, *, opens_task: bool
) -> int:
    """Return how many take a slot, besides what is to be admitted; -1 if that has one already."""
    kind, _, name = standing.scope.partition(":")
    if kind in RUNNING_TASKS:
        return _tasks(cursor, intent, kind, name) if opens_task else -1
    if standing.scope.startswith(BY_ATTEMPT):
        return _count(cursor, RUNNING_ATTEMPTS, (name,))
    return _count(cursor, RUNNING_CALLS, (name,)) if intent.n == 1 else -1


def _tasks(cursor: sqlite3.Cursor, intent: Intent, kind: str, name: str) -> int:
    sql = f"""
        SELECT count(*) FROM tasks WHERE ended_at IS NULL
            AND (deadline_at IS NULL OR deadline_at > ?){RUNNING_TASKS[kind]}
    """
    now = micros(intent.sent_at)
    return _count(cursor, sql, (now, name) if name else (now,))


def _count(cursor: sqlite3.Cursor, sql: str, given: tuple[object, ...]) -> int:
    (count,) = cursor.execute(sql, given).fetchone()
    return int(count)

"""Slots: how many run at once. They are counted from the rows that run, so that none can leak."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final

from callgate.store import Intent
from callgate.store.limits import BY_ATTEMPT, Standing, kind_of
from callgate.store.rates import Excess, over_limit
from callgate.store.rows import micros
from callgate.store.sql import Cursor

LOOK_AGAIN_SECONDS: Final = 1.0
"""What a caller is told to wait: nobody knows when something ends."""

OF_TASKS: Final = """
    SELECT count(*) FROM tasks
    WHERE has_slot = 1 AND (deadline_at IS NULL OR deadline_at > ?){of_scope}
"""
"""A task has a slot from its first attempt on until it ends."""

RUNNING_TASKS: Final[Mapping[str, str]] = {
    "gate": "",
    "type": " AND type = ?",
    "user": ' AND "user" = ?',
}
"""By kind of scope: the tasks that it counts, where it counts tasks."""

RUNNING: Final[Mapping[str, str]] = {
    "agent": "SELECT count(*) FROM calls WHERE state = 'running' AND agent = ?",
    "provider": "SELECT count(*) FROM attempts WHERE state = 'running' AND provider = ?",
    "tool": """
        SELECT count(*) FROM attempts a JOIN calls c ON c.seq = a.call_seq
        WHERE a.state = 'running' AND c.kind = 'tool' AND c.target = ?
    """,
}
"""By kind of scope: the calls or attempts in flight that it counts, where it counts those."""


def refuse_over_slots(
    cursor: Cursor, intent: Intent, slots: Iterable[Standing], *, opens_task: bool
) -> None:
    """Refuse what would be one too many at once.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.
        slots: The limits of how many may run that hold for it.
        opens_task: Whether its task does not run yet.

    Raises:
        OverLimit: Every slot of some scope is taken.
    """
    excesses = [
        Excess(each.limit, each.scope, running, LOOK_AGAIN_SECONDS if each.limit.value else inf)
        for each in slots
        if _takes_one(intent, each.scope, opens_task=opens_task)
        and (running := running_now(cursor, each.scope, intent.sent_at)) >= each.limit.value
    ]
    if excesses:
        raise over_limit(excesses, now=intent.sent_at)


def running_now(cursor: Cursor, scope: str, now: float) -> int:
    """Return how many take a slot of a scope."""
    kind, _, name = scope.partition(":")
    if kind in RUNNING:
        return _count(cursor, RUNNING[kind], (name,))
    sql = OF_TASKS.format(of_scope=RUNNING_TASKS[kind])
    return _count(cursor, sql, (micros(now), name) if name else (micros(now),))


def _takes_one(intent: Intent, scope: str, *, opens_task: bool) -> bool:
    """Whether what is to be admitted takes one more slot."""
    kind = kind_of(scope)
    if kind in RUNNING_TASKS:
        return opens_task
    return intent.n == 1 or kind in BY_ATTEMPT


def _count(cursor: Cursor, sql: str, given: tuple[object, ...]) -> int:
    (count,) = cursor.execute(sql, given).fetchone()
    return int(count)

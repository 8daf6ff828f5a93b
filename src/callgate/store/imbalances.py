"""Whether the ledger is what its attempts add up to: recomputed from them, scope by scope."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Final

from callgate.money import Money
from callgate.store import Imbalance
from callgate.store.limits import GATE
from callgate.store.meters import BY_ATTEMPT

OF_TASKS: Final = """
    WITH booked AS (
        SELECT 'task:' || task_id AS scope, 'all' AS "window",
            coalesce(sum(cost_nano), 0) AS spent,
            coalesce(sum(CASE WHEN state = 'running' THEN reserved_nano END), 0) AS held
        FROM attempts GROUP BY task_id
    )
    SELECT scope, "window", l.spent_nano, l.held_nano, 0,
        coalesce(b.spent, 0), coalesce(b.held, 0), 0
    FROM ledger l LEFT JOIN booked b USING (scope, "window")
    WHERE l."window" = 'all'
        AND (l.spent_nano <> coalesce(b.spent, 0) OR l.held_nano <> coalesce(b.held, 0))
    UNION ALL
    SELECT scope, "window", 0, 0, 0, spent, held, 0 FROM booked
    WHERE (scope, "window") NOT IN (SELECT scope, "window" FROM ledger)
"""

METERS: Final = """
    SELECT "window", starts_at, ends_at, scope, spent_nano, held_nano, calls FROM ledger
    WHERE starts_at IS NOT NULL ORDER BY starts_at, ends_at, "window", scope
"""

OF_WINDOW: Final = """
    SELECT c.agent, c.task_type, c.user, a.provider,
        coalesce(sum(a.cost_nano), 0),
        coalesce(sum(CASE WHEN a.state = 'running' THEN a.reserved_nano END), 0),
        sum(CASE WHEN a.n = 1 THEN 1 ELSE 0 END), count(*)
    FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.sent_at >= ? AND a.sent_at < ? GROUP BY 1, 2, 3, 4
"""

Sums = tuple[int, int, int]
"""Spent, held, and counted calls or attempts."""


def imbalances(connection: sqlite3.Connection) -> list[Imbalance]:
    """Return every scope whose ledger differs; one snapshot, so that a busy gate is no matter."""
    connection.execute("BEGIN")
    try:
        return [*_of_tasks(connection), *_of_meters(connection)]
    finally:
        connection.execute("COMMIT")


def _of_tasks(connection: sqlite3.Connection) -> Iterator[Imbalance]:
    for scope, window, *sums in connection.execute(OF_TASKS).fetchall():
        yield _imbalance(scope, window, tuple(sums[:3]), tuple(sums[3:]))


def _of_meters(connection: sqlite3.Connection) -> Iterator[Imbalance]:
    """Add up the attempts of every window again, all of its scopes at once."""
    summed, told = None, dict[str, Sums]()
    for key, starts_at, ends_at, scope, *sums in connection.execute(METERS).fetchall():
        if summed != (starts_at, ends_at):
            summed = (starts_at, ends_at)
            told = _told(connection, summed)
        attempts = told.get(scope, (0, 0, 0))
        if tuple(sums) != attempts:
            yield _imbalance(scope, key, tuple(sums), attempts)


def _told(connection: sqlite3.Connection, between: tuple[int, int]) -> dict[str, Sums]:
    """Return what the attempts between two instants add up to, in every scope that they are in."""
    sums: dict[str, Counter[int]] = {}
    for *names, spent, held, calls, attempts in connection.execute(OF_WINDOW, between):
        agent, task_type, user, provider = names
        scopes = [GATE, f"agent:{agent}", f"type:{task_type}", f"provider:{provider}"]
        for scope in scopes if user is None else (*scopes, f"user:{user}"):
            counted = attempts if scope.startswith(BY_ATTEMPT) else calls
            sums.setdefault(scope, Counter()).update({0: spent, 1: held, 2: counted})
    return {scope: (each[0], each[1], each[2]) for scope, each in sums.items()}


def _imbalance(scope: str, window: str, ledger: Sums, attempts: Sums) -> Imbalance:
    return Imbalance(
        scope=scope, window=window,
        spent=Money(ledger[0]), held=Money(ledger[1]), calls=ledger[2],
        attempts_spent=Money(attempts[0]), attempts_held=Money(attempts[1]),
        attempts_calls=attempts[2],
    )  # fmt: skip

"""Whether the ledger is what its attempts add up to: recomputed from them, scope by scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from callgate.money import Money
from callgate.store import Imbalance
from callgate.store.limits import kind_of
from callgate.store.meters import Sums, sums_of
from callgate.store.sql import Cursor

OF_TASKS: Final = """
    WITH RECURSIVE own AS (
        SELECT task_id AS id,
            coalesce(sum(cost_nano), 0) AS spent,
            coalesce(sum(CASE WHEN state = 'running' THEN reserved_nano END), 0) AS held,
            count(CASE WHEN n = 1 THEN 1 END) AS calls
        FROM attempts GROUP BY task_id
    ), line (id, above) AS (
        SELECT id, id FROM own
        UNION SELECT line.id, t.parent FROM line JOIN tasks t ON t.id = line.above
        WHERE t.parent IS NOT NULL
    )
    SELECT 'task:' || above, sum(spent), sum(held),
        sum(CASE WHEN line.id = above THEN calls ELSE 0 END)
    FROM line JOIN own ON own.id = line.id GROUP BY above
"""

TASKS: Final = """
    SELECT scope, spent_nano, held_nano, calls FROM ledger WHERE "window" = 'all'
"""

WINDOWS: Final = 'SELECT kind, "window", starts_at, ends_at FROM windows ORDER BY ends_at, kind'

METERS: Final = """
    SELECT "window", scope, spent_nano, held_nano, calls FROM ledger WHERE ends_at IS NOT NULL
"""

NOTHING: Final[Sums] = (0, 0, 0)


def imbalances(cursor: Cursor) -> list[Imbalance]:
    """Return every scope whose ledger differs; ask in one snapshot, so that a busy gate is no matter."""
    return [*_of_tasks(cursor), *_of_meters(cursor)]


def _of_tasks(cursor: Cursor) -> Iterator[Imbalance]:
    # Put side by side here: a database joins what it has just added up without an index.
    ledger, attempts = (
        {
            scope: (spent, held, calls)
            for scope, spent, held, calls in cursor.execute(sql).fetchall()
        }
        for sql in (TASKS, OF_TASKS)
    )
    return _differing("all", ledger, attempts)


def _of_meters(cursor: Cursor) -> Iterator[Imbalance]:
    """Add up the attempts of every window again, all scopes of a kind at once."""
    meters: dict[tuple[str, str], dict[str, Sums]] = {}
    for key, scope, spent, held, calls in cursor.execute(METERS).fetchall():
        meters.setdefault((kind_of(scope), key), {})[scope] = (spent, held, calls)
    for kind, key, *between in cursor.execute(WINDOWS).fetchall():
        ledger = meters.pop((kind, key), {})
        attempts = sums_of(cursor, kind, (between[0], between[1]))
        yield from _differing(key, ledger, attempts)
    # What no window is begun for should not be there.
    for (_, key), ledger in meters.items():
        yield from _differing(key, ledger, {})


def _differing(key: str, ledger: dict[str, Sums], attempts: dict[str, Sums]) -> Iterator[Imbalance]:
    for scope in sorted(ledger.keys() | attempts.keys()):
        written, told = ledger.get(scope, NOTHING), attempts.get(scope, NOTHING)
        if written != told:
            yield _imbalance(scope, key, written, told)


def _imbalance(scope: str, window: str, ledger: Sums, attempts: Sums) -> Imbalance:
    return Imbalance(
        scope=scope, window=window,
        spent=Money(ledger[0]), held=Money(ledger[1]), calls=ledger[2],
        attempts_spent=Money(attempts[0]), attempts_held=Money(attempts[1]),
        attempts_calls=attempts[2],
    )  # fmt: skip

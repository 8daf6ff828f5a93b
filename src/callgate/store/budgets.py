"""Budgets as they stand, for who watches them: three questions, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from callgate.money import Money
from callgate.store.calendar import Span, Window
from callgate.store.limits import BUDGETS, EVERY_USER, LimitName, Limits
from callgate.store.lines import TASK_BUDGET
from callgate.store.meters import SCOPE
from callgate.store.rows import Row, limit_of, micros
from callgate.store.rulebook import LIMITS
from callgate.store.sql import WITHOUT_END, Cursor
from callgate.store.watched import BudgetRow

COLUMNS: Final = 'scope, "window", spent_nano, held_nano'

# Each by its key: the ledger has a row for every task that ever was.
NAMED: Final = f"""
    SELECT {COLUMNS} FROM ledger
    WHERE scope IN (SELECT scope FROM limits) AND "window" IN ({{windows}})
    ORDER BY scope, "window"
"""
"""The meters of scopes that have limits of their own."""

OF_USERS: Final = f"""
    SELECT {COLUMNS} FROM ledger
    WHERE scope >= 'user:' AND scope < 'user;' AND ({{matters}})
        AND scope NOT IN (SELECT scope FROM limits)
    ORDER BY scope, "window"
"""
"""Those of users that have none, who are many: only where as much is spent as matters."""

MATTERS: Final = '"window" = ? AND spent_nano >= ?'

TASKS: Final = """
    SELECT l.scope, l.cap_nano, l.spent_nano, l.held_nano
    FROM tasks t JOIN ledger l ON l.scope = 'task:' || t.id AND l."window" = 'all'
    WHERE t.ended_at IS NULL AND l.cap_nano > 0 AND l.spent_nano >= l.cap_nano * ?
    ORDER BY l.scope
"""

SPENT: Final = """
    SELECT {scope}, {sums} FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.sent_at >= ? GROUP BY 1
"""
SUM: Final = "coalesce(sum(CASE WHEN a.sent_at >= ? THEN a.cost_nano END), 0)"

NAMES: Final[Mapping[Span, LimitName]] = {span: name for name, span in BUDGETS.items()}


def budgets(
    cursor: Cursor, *, windows: Sequence[Window], least_share: float, now: float
) -> list[BudgetRow]:
    """Return every budget that holds and was spent from.

    Args:
        cursor: Where the ledger is.
        windows: The hour, the day and the month of now.
        least_share: Of tasks, and of users without a budget of their own, only those who have spent
            such a share are told.
        now: Seconds since 1970.
    """
    limits = Limits(map(limit_of, cursor.execute(LIMITS).fetchall()))
    return [
        *_of_windows(cursor, limits, windows, least_share, now),
        *_of_tasks(cursor, least_share),
    ]


def _of_windows(
    cursor: Cursor,
    limits: Limits,
    windows: Sequence[Window],
    least_share: float,
    now: float,
) -> Iterable[BudgetRow]:
    by_key = {window.key: window for window in windows}
    sql = NAMED.format(windows=", ".join("?" * len(by_key)))
    for row in cursor.execute(sql, tuple(by_key)).fetchall():
        yield from _rows(limits, row[0], row, by_key[row[1]], now)
    everyones = {each.limit.name: each.limit.value for each in limits.of((EVERY_USER,), now=now)}
    if everyones.keys().isdisjoint(BUDGETS):
        return
    given = [
        each
        for key, window in by_key.items()
        for each in (key, _least(everyones.get(NAMES[window.span]), least_share))
    ]
    sql = OF_USERS.format(matters=" OR ".join([MATTERS] * len(by_key)))
    for row in cursor.execute(sql, given).fetchall():
        yield from _rows(limits, EVERY_USER, row, by_key[row[1]], now)


def _least(cap: int | None, share: float) -> int:
    """Return how much of a cap matters; nothing does where there is none, or nothing is allowed."""
    return int(cap * share) if cap else WITHOUT_END


def _rows(limits: Limits, of: str, row: Row, window: Window, now: float) -> Iterable[BudgetRow]:
    """Return the budget that a meter is held against, if it is."""
    scope, _, spent, held = row
    for standing in limits.of((of,), now=now):
        limit = standing.limit
        if limit.name == NAMES[window.span] and limit.value:
            yield BudgetRow(
                scope=scope, rule=limit.setting, cap=Money(limit.value), spent=Money(spent),
                held=Money(held), window=window, is_everyones=limit.scope == EVERY_USER,
            )  # fmt: skip


def _of_tasks(cursor: Cursor, least_share: float) -> Iterable[BudgetRow]:
    for scope, cap, spent, held in cursor.execute(TASKS, (least_share,)).fetchall():
        yield BudgetRow(
            scope=scope, rule=TASK_BUDGET, cap=Money(cap), spent=Money(spent), held=Money(held),
            window=None,
        )  # fmt: skip


def spent_by_scope(
    cursor: Cursor, *, kind: str, instants: Sequence[float]
) -> dict[str, Sequence[Money]]:
    """Return what the attempts of every scope of a kind have cost since each of some instants."""
    sql = SPENT.format(scope=SCOPE[kind], sums=", ".join([SUM] * len(instants)))
    given = [*map(micros, instants), micros(min(instants))]
    rows = cursor.execute(sql, given).fetchall()
    return {scope: tuple(map(Money, sums)) for scope, *sums in rows if scope is not None}

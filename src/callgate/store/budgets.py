"""Budgets as they stand, for who watches them: three questions, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from callgate.money import Money
from callgate.store.calendar import Span, Window
from callgate.store.limits import BUDGETS, Limit, LimitName, Limits
from callgate.store.lines import TASK_BUDGET
from callgate.store.rows import limit_of
from callgate.store.rulebook import LIMITS
from callgate.store.sql import Cursor
from callgate.store.watched import BudgetRow

METERS: Final = """
    SELECT scope, "window", spent_nano, held_nano FROM ledger
    WHERE "window" IN ({windows}) AND ends_at IS NOT NULL
        AND (scope < 'user:' OR scope >= 'user;' OR spent_nano >= ?)
    ORDER BY scope, "window"
"""
"""Of users, who are many, only those who have spent as much as matters to the lowest budget."""

TASKS: Final = """
    SELECT l.scope, l.cap_nano, l.spent_nano, l.held_nano
    FROM tasks t JOIN ledger l ON l.scope = 'task:' || t.id AND l."window" = 'all'
    WHERE t.ended_at IS NULL AND l.cap_nano > 0 AND l.spent_nano >= l.cap_nano * ?
    ORDER BY l.scope
"""

NAMES: Final[Mapping[Span, LimitName]] = {span: name for name, span in BUDGETS.items()}


def budgets(
    cursor: Cursor, *, windows: Sequence[Window], least_share: float, now: float
) -> list[BudgetRow]:
    """Return every budget that holds and was spent from.

    Args:
        cursor: Where the ledger is.
        windows: The hour, the day and the month of now.
        least_share: Of users and tasks, only those who have spent such a share are told.
        now: Seconds since 1970.
    """
    rows = [limit_of(row) for row in cursor.execute(LIMITS).fetchall()]
    return [
        *_of_windows(cursor, rows, windows, least_share, now),
        *_of_tasks(cursor, least_share),
    ]


def _of_windows(
    cursor: Cursor,
    rows: Sequence[Limit],
    windows: Sequence[Window],
    least_share: float,
    now: float,
) -> Iterable[BudgetRow]:
    limits, by_key = Limits(rows), {window.key: window for window in windows}
    of_users = [row.value for row in rows if row.name in BUDGETS and row.scope.startswith("user:")]
    least = int(min(of_users, default=0) * least_share)
    sql = METERS.format(windows=", ".join("?" * len(by_key)))
    for scope, key, spent, held in cursor.execute(sql, (*by_key, least)).fetchall():
        window = by_key[key]
        for standing in limits.of([scope], now=now):
            limit = standing.limit
            if limit.name != NAMES[window.span]:
                continue
            if scope.startswith("user:") and spent < limit.value * least_share:
                continue
            yield BudgetRow(
                scope=scope, rule=limit.setting, cap=Money(limit.value), spent=Money(spent),
                held=Money(held), window=window,
            )  # fmt: skip


def _of_tasks(cursor: Cursor, least_share: float) -> Iterable[BudgetRow]:
    for scope, cap, spent, held in cursor.execute(TASKS, (least_share,)).fetchall():
        yield BudgetRow(
            scope=scope, rule=TASK_BUDGET, cap=Money(cap), spent=Money(spent), held=Money(held),
            window=None,
        )  # fmt: skip

"""What is used of a limit now, for those who look; admission counts for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from callgate.store import LimitRow
from callgate.store.calendar import Span, Window
from callgate.store.limits import BUDGETS, EVERY_USER, RATES, SPANS_OF, TOKENS, Limit
from callgate.store.meters import READ, totals
from callgate.store.slots import running_now
from callgate.store.sql import Cursor
from callgate.store.tokens import taken

MOST_USED: Final = """
    SELECT scope, spent_nano, held_nano, calls FROM ledger
    WHERE scope >= 'user:' AND scope < 'user;' AND "window" = ?
        AND scope NOT IN (SELECT scope FROM limits WHERE name = ?)
    ORDER BY {most} DESC, scope LIMIT 1
"""
"""Of the users that have no limit of their own: the one who has used most."""


def used(
    cursor: Cursor,
    *,
    rows: Sequence[LimitRow],
    windows: Sequence[Window],
    now: float,
) -> list[LimitRow]:
    """Return limits with what is used of them.

    Args:
        cursor: Where the ledger is.
        rows: The limits.
        windows: The hour, the day and the month of now.
        now: Seconds since 1970.
    """
    by_span: dict[Span, Window] = {window.span: window for window in windows}
    return [_used(cursor, row, by_span, now) for row in rows]


def _used(cursor: Cursor, row: LimitRow, windows: Mapping[Span, Window], now: float) -> LimitRow:
    limit = row.limit
    span = SPANS_OF.get(limit.name)
    if span is not None:
        return _of_window(cursor, row, windows[span])
    if limit.scope == EVERY_USER:
        return row
    return msgspec.structs.replace(row, used=_now(cursor, limit, now))


def _of_window(cursor: Cursor, row: LimitRow, window: Window) -> LimitRow:
    limit, user = row.limit, None
    is_money = limit.name in BUDGETS
    if limit.scope == EVERY_USER:
        most = "spent_nano + held_nano" if is_money else "calls"
        found = cursor.execute(MOST_USED.format(most=most), (window.key, limit.name)).fetchone()
        scope, spent, held, calls = found or ("", 0, 0, 0)
        user = scope.removeprefix("user:") or None
    else:
        found = cursor.execute(READ, (limit.scope, window.key)).fetchone()
        spent, held, calls = found or totals(cursor, limit.scope, window)
    return msgspec.structs.replace(
        row,
        used=spent if is_money else calls,
        held=held if is_money else 0,
        user=user,
        resets_at=window.ends_at,
    )


def _now(cursor: Cursor, limit: Limit, now: float) -> int | None:
    if limit.name == "concurrency":
        return running_now(cursor, limit.scope, now)
    if limit.name == TOKENS:
        return taken(cursor, limit.scope, now)
    seconds = RATES.get(limit.name)
    if seconds is None:
        return None
    # Both ends belong to the interval.
    last = Window(span="hour", name="", key="", starts_at=now - seconds, ends_at=now + 1e-6)
    return totals(cursor, limit.scope, last)[2]

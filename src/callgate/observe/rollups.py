"""Spend views: what was spent by whom and on what, against every cap, and where it leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from callgate.money import Money
from callgate.observe.forecast import Forecast, Rate, forecast, looked_back_seconds
from callgate.observe.thresholds import LONG_SECONDS, SHORT_SECONDS, Crossing, crossings
from callgate.store import CallKind, Grouping, LimitRow, Spending, Store
from callgate.store.calendar import Calendar, Span, Window
from callgate.store.limits import BUDGETS, EVERY_USER, GATE, Limit

KINDS: Final[Mapping[Grouping, CallKind]] = {"model": "model", "tool": "tool"}
"""Calls of the other kind are no part of these."""

LONGEST_DAYS: Final = 3660
"""Days that a view tells one by one: ten years."""


class CapUse(msgspec.Struct, frozen=True, kw_only=True):
    """How a budget of a window stands."""

    limit: Limit
    scope: str
    """Whose use is told: for a limit of every user, the user who has used most."""
    window: Window
    spent: Money
    held: Money
    rate: Rate
    forecast: Forecast
    crossings: tuple[Crossing, ...]

    @property
    def cap(self) -> Money:
        """What may be spent."""
        return Money(self.limit.value)


class MonthSoFar(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole gate has spent in this month, and where that leads."""

    window: Window
    spending: Spending | None
    """None where nothing has left in this month."""
    rate: Rate
    forecast: Forecast


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """A store at an instant."""

    store: Store
    calendar: Calendar
    at: float
    """Seconds since 1970."""

    @property
    def windows(self) -> dict[Span, Window]:
        """The hour, the day and the month."""
        return self.calendar.windows(self.at)


def spending(
    now: Now, by: Grouping, /, *, since: float, until: float
) -> tuple[Sequence[Spending], Spending | None]:
    """Return what was spent, the most first or by day the first first, and all of it together.

    Args:
        now: The store.
        by: What it is told apart by.
        since: The first instant, seconds since 1970.
        until: The first instant that is not in it any more.
    """
    days = _days(now, since, until) if by == "day" else ()
    kind = KINDS.get(by)
    rows = now.store.spending(by, since=since, until=until, days=days, kind=kind)
    total = now.store.spending(None, since=since, until=until, kind=kind)
    return rows, total[0] if total else None


def _days(now: Now, since: float, until: float) -> Sequence[Window]:
    """Return every day between two instants on which something can have left."""
    first_at = now.store.first_sent_at()
    if first_at is None:
        return ()
    at, end = max(since, first_at), min(until, now.at + 1)
    days: list[Window] = []
    while at < end and len(days) < LONGEST_DAYS:
        days.append(now.calendar.windows(at)["day"])
        at = days[-1].ends_at
    return days


def month_so_far(now: Now) -> MonthSoFar:
    """Return what the whole gate has spent in this month, and where that leads."""
    month = now.windows["month"]
    known = now.store.spending(None, since=month.starts_at, until=month.ends_at)
    spent = known[0].cost if known else Money()
    rate, *_ = _lately(now, GATE, "month")
    return MonthSoFar(
        window=month,
        spending=known[0] if known else None,
        rate=rate,
        forecast=forecast(month, rate, spent=spent, cap=None, now=now.at),
    )


def cap_uses(now: Now, /, *, shares: Sequence[float]) -> list[CapUse]:
    """Return how every budget of a window stands, those of the whole gate first.

    Args:
        now: The store.
        shares: The shares of a cap that are thresholds, 0 to 1.
    """
    rows = [row for row in now.store.limits(tuple(now.windows.values())) if row.holds]
    budgets = [row for row in rows if row.limit.name in BUDGETS and _is_used_by_one(row)]
    uses = [_cap_use(now, row, shares) for row in budgets]
    return sorted(uses, key=lambda use: (use.limit.scope != GATE, use.limit.scope))


def _is_used_by_one(row: LimitRow) -> bool:
    return row.limit.scope != EVERY_USER or row.user is not None


def _cap_use(now: Now, row: LimitRow, shares: Sequence[float]) -> CapUse:
    limit = row.limit
    span = BUDGETS[limit.name]
    window = now.windows[span]
    scope = limit.scope if row.user is None else f"user:{row.user}"
    rate, last_long, last_short = _lately(now, scope, span)
    cap, spent = Money(limit.value), Money(row.used or 0)
    return CapUse(
        limit=limit,
        scope=scope,
        window=window,
        spent=spent,
        held=Money(row.held),
        rate=rate,
        forecast=forecast(window, rate, spent=spent, cap=cap, now=now.at),
        crossings=crossings(
            cap,
            spent,
            last_long=last_long,
            last_short=last_short,
            now=now.at,
            resets_at=window.ends_at,
            shares=shares,
        ),
    )


def _lately(now: Now, scope: str, span: Span) -> tuple[Rate, Money, Money]:
    """Return the rate of a scope, and what it spent in both windows of the thresholds."""
    seconds = looked_back_seconds(span, now=now.at, first_at=now.store.first_sent_at())
    instants = (now.at - seconds, now.at - LONG_SECONDS, now.at - SHORT_SECONDS)
    spent, last_long, last_short = now.store.spent_since(scope, instants)
    return Rate(spent=spent, seconds=seconds), last_long, last_short

"""Meters: what a scope has spent, holds and has asked for in one window of the calendar.

A meter is a row of the ledger. It is begun when a limit first needs it, from the attempts of its
window, so that a limit that comes in the middle of a day counts the whole day.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from callgate.store import Intent
from callgate.store.calendar import Span, Window
from callgate.store.limits import BUDGETS, Limit, LimitName, Standing
from callgate.store.reservation import Level
from callgate.store.rows import micros

Booking = tuple[str, str]
"""A scope and the key of a window, as an attempt's row keeps where it is booked."""

READ: Final = """
    SELECT spent_nano, held_nano, calls FROM ledger WHERE scope = ? AND "window" = ?
"""

BEGIN: Final = """
    INSERT INTO ledger (scope, "window", spent_nano, held_nano, calls, starts_at, ends_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""

HOLD: Final = """
    UPDATE ledger SET held_nano = held_nano + ?, calls = calls + ?
    WHERE scope = ? AND "window" = ?
"""

BOOK: Final = """
    UPDATE ledger SET spent_nano = spent_nano + ?, held_nano = held_nano - ?
    WHERE scope = ? AND "window" = ?
"""

OF_SCOPE: Final[Mapping[str, str]] = {
    "gate": "",
    "agent": " AND c.agent = ?",
    "type": " AND c.task_type = ?",
    "user": " AND c.user = ?",
    "provider": " AND a.provider = ?",
}
"""By kind of scope: which attempts are its own."""

SPANS_OF: Final[Mapping[LimitName, Span]] = {**BUDGETS, "per_day": "day"}
"""By limit: the window that it is counted in."""

BY_ATTEMPT: Final = ("provider:", "tool:")
"""Scopes that count attempts; the others count calls, at their first attempt."""

NOUNS: Final[Mapping[str, str]] = {
    "agent": "agent", "type": "task type", "user": "user", "provider": "provider", "tool": "tool",
}  # fmt: skip


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the ledger for a scope and a window, as the transaction sees it."""

    scope: str
    window: Window
    limits: tuple[Limit, ...]
    spent: int
    held: int
    calls: int
    is_new: bool

    @property
    def levels(self) -> Iterable[Level]:
        """Its budgets."""
        return (self._level(limit) for limit in self.limits if limit.name in BUDGETS)

    def _level(self, limit: Limit) -> Level:
        what = f"{named(self.scope)} in this {self.window.span}"
        return Level(
            rule=limit.setting,
            what=what,
            scope=self.scope,
            window=self.window.key,
            cap=limit.value,
            spent=self.spent,
            held=self.held,
            resets_at=self.window.ends_at,
            fix=f"callgate budget set {self.scope} {self.window.span} AMOUNT raises it",
        )


def named(scope: str) -> str:
    """Return a scope in words."""
    kind, _, name = scope.partition(":")
    return "the whole gate" if not name else f"{NOUNS[kind]} {name}"


def counts(scope: str, intent: Intent) -> bool:
    """Whether an attempt counts as a call in a scope: a call is counted once, at its first."""
    return intent.n == 1 or scope.startswith(BY_ATTEMPT)


def meters_of(cursor: sqlite3.Cursor, intent: Intent, standing: Sequence[Standing]) -> list[Meter]:
    """Return the meters that the limits of an attempt need; nothing is written yet."""
    windows = {window.span: window for window in intent.windows}
    needed: dict[tuple[str, Span], list[Limit]] = {}
    for each in standing:
        span = SPANS_OF.get(each.limit.name)
        if span is not None:
            needed.setdefault((each.scope, span), []).append(each.limit)
    return [
        _meter(cursor, scope, windows[span], limits) for (scope, span), limits in needed.items()
    ]


def _meter(cursor: sqlite3.Cursor, scope: str, window: Window, limits: Sequence[Limit]) -> Meter:
    found = cursor.execute(READ, (scope, window.key)).fetchone()
    spent, held, calls = found or totals(cursor, scope, window)
    return Meter(
        scope=scope,
        window=window,
        limits=tuple(limits),
        spent=spent,
        held=held,
        calls=calls,
        is_new=found is None,
    )


def totals(cursor: sqlite3.Cursor, scope: str, window: Window) -> tuple[int, int, int]:
    """Return what the attempts of a window add up to: spent, held, and calls or attempts."""
    counted = "a.n > 0" if scope.startswith(BY_ATTEMPT) else "a.n = 1"
    sql = f"""
        SELECT coalesce(sum(a.cost_nano), 0),
            coalesce(sum(CASE WHEN a.state = 'running' THEN a.reserved_nano END), 0),
            coalesce(sum({counted}), 0)
    """
    spent, held, calls = cursor.execute(*_of_window(sql, scope, window)).fetchone()
    return spent, held, calls


def _of_window(select: str, scope: str, window: Window) -> tuple[str, tuple[Any, ...]]:
    kind, _, name = scope.partition(":")
    sql = f"""
        {select} FROM attempts a JOIN calls c ON c.seq = a.call_seq
        WHERE a.sent_at >= ? AND a.sent_at < ?{OF_SCOPE[kind]}
    """
    between = (micros(window.starts_at), micros(window.ends_at))
    return sql, (*between, name) if name else between


def hold(
    cursor: sqlite3.Cursor, intent: Intent, meters: Sequence[Meter], reserved: int
) -> list[Booking]:
    """Hold an attempt's money and count its call in every meter; return where it is booked."""
    for meter in meters:
        calls = int(counts(meter.scope, intent))
        if meter.is_new:
            _begin(cursor, meter, reserved=reserved, calls=calls)
        else:
            cursor.execute(HOLD, (reserved, calls, meter.scope, meter.window.key))
    return [(meter.scope, meter.window.key) for meter in meters]


def _begin(cursor: sqlite3.Cursor, meter: Meter, *, reserved: int, calls: int) -> None:
    """Write a meter, and have the attempts that it already counts as held settle in it too."""
    window = meter.window
    select = "SELECT a.seq, a.booked"
    sql, given = _of_window(select, meter.scope, window)
    running = cursor.execute(f"{sql} AND a.state = 'running'", given).fetchall()
    for seq, booked in running:
        bookings = [*bookings_of(booked), (meter.scope, window.key)]
        cursor.execute("UPDATE attempts SET booked = ? WHERE seq = ?", (written(bookings), seq))
    cursor.execute(
        BEGIN,
        (meter.scope, window.key, meter.spent, meter.held + reserved, meter.calls + calls,
         micros(window.starts_at), micros(window.ends_at)),
    )  # fmt: skip


def book(cursor: sqlite3.Cursor, bookings: Iterable[Booking], *, spent: int, held: int) -> None:
    """Add to what is spent and take off what is held, in every place of an attempt."""
    for scope, key in bookings:
        cursor.execute(BOOK, (spent, held, scope, key))


def bookings_of(booked: str | None) -> list[Booking]:
    """Return where an attempt is booked besides its own task."""
    return [] if booked is None else msgspec.json.decode(booked, type=list[Booking])


def written(bookings: Sequence[Booking]) -> str | None:
    """Return bookings as an attempt's row keeps them."""
    return msgspec.json.encode(bookings).decode() if bookings else None

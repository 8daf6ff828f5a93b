"""Meters: what a scope has spent, holds and has asked for in one window of the calendar.

A meter is a row of the ledger. A window is begun for a kind of scope, such as all users, when a
limit first needs it: what its attempts add up to so far is written, so that a limit that comes in
the middle of a day counts the whole day. From then on an attempt is booked in every meter of its
scopes whose window it falls into, whatever limits hold: one that is lifted and comes back has
missed nothing, and a scope without a meter has done nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from callgate.store import Intent
from callgate.store.calendar import Span, Window
from callgate.store.limits import BUDGETS, SPANS_OF, Limit, Standing, kind_of
from callgate.store.reservation import Level
from callgate.store.rows import micros

MOST_SCOPES: Final = 6
"""Kinds of scope, and so the scopes of one attempt at most."""

OF_ATTEMPT: Final = f"""
    scope IN ({", ".join("?" * MOST_SCOPES)}) AND starts_at <= ? AND ends_at > ?
"""

BEGUN: Final = """
    SELECT kind, "window", starts_at, ends_at FROM windows WHERE starts_at <= ? AND ends_at > ?
"""

BEGIN: Final = "INSERT INTO windows VALUES (?, ?, ?, ?)"

METERS: Final = f"""
    SELECT scope, "window", spent_nano, held_nano, calls FROM ledger WHERE {OF_ATTEMPT}
"""

READ: Final = """
    SELECT spent_nano, held_nano, calls FROM ledger WHERE scope = ? AND "window" = ?
"""

INSERT: Final = """
    INSERT INTO ledger (scope, "window", starts_at, ends_at, spent_nano, held_nano, calls)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""

HOLD: Final = f"""
    UPDATE ledger SET held_nano = held_nano + ?, calls = calls + ? WHERE {OF_ATTEMPT}
"""

BOOK: Final = f"""
    UPDATE ledger SET spent_nano = spent_nano + ?, held_nano = held_nano - ? WHERE {OF_ATTEMPT}
"""

SCOPE: Final[Mapping[str, str]] = {
    "gate": "'gate'",
    "agent": "'agent:' || c.agent",
    "type": "'type:' || c.task_type",
    "user": "'user:' || c.user",
    "provider": "'provider:' || a.provider",
    "tool": "CASE WHEN c.kind = 'tool' THEN 'tool:' || c.target END",
}
"""By kind: the scope that an attempt is in; NULL where it is in none of that kind."""

OF_SCOPE: Final[Mapping[str, str]] = {
    "gate": "",
    "agent": " AND c.agent = ?",
    "type": " AND c.task_type = ?",
    "user": " AND c.user = ?",
    "provider": " AND a.provider = ?",
    "tool": " AND c.kind = 'tool' AND c.target = ?",
}
"""By kind of scope: which attempts are its own."""

BY_ATTEMPT: Final = ("provider:", "tool:")
"""Scopes that count attempts; the others count calls, at their first attempt."""

NOUNS: Final[Mapping[str, str]] = {
    "agent": "agent", "type": "task type", "user": "user", "provider": "provider", "tool": "tool",
}  # fmt: skip

Sums = tuple[int, int, int]
"""Spent, held, and counted calls or attempts."""


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """What a scope has in a window, and which limits hold for that."""

    scope: str
    window: Window
    limits: Sequence[Limit]
    spent: int
    held: int
    calls: int

    @property
    def levels(self) -> Iterable[Level]:
        """Its budgets."""
        return (self._level(limit) for limit in self.limits if limit.name in BUDGETS)

    def _level(self, limit: Limit) -> Level:
        return Level(
            rule=limit.setting,
            what=f"{named(self.scope)} in this {self.window.span}",
            scope=self.scope,
            window=self.window.key,
            cap=limit.value,
            spent=self.spent,
            held=self.held,
            resets_at=self.window.ends_at,
            fix=f"callgate budget set {self.scope} {self.window.span} AMOUNT raises it",
        )


class Meters:
    """All meters that an attempt is booked in.

    Args:
        cursor: Inside the transaction that admits.
        scopes: Every scope of the attempt.
        intent: What is to be admitted.
    """

    def __init__(self, cursor: sqlite3.Cursor, scopes: Sequence[str], intent: Intent) -> None:
        self._cursor = cursor
        self._scopes = scopes
        self._intent = intent
        self._windows: Mapping[Span, Window] = {each.span: each for each in intent.windows}
        self._at = micros(intent.sent_at)
        begun = cursor.execute(BEGUN, (self._at, self._at)).fetchall()
        self._begun = {(kind, key): (starts, ends) for kind, key, starts, ends in begun}
        self._sums = self._read() if begun else {}

    def begin(self, standing: Iterable[Standing]) -> bool:
        """Begin the windows that some limits need; return whether any had not been before."""
        needed = {(kind_of(scope), window.key): window for scope, window in self._needed(standing)}
        missing = needed.keys() - self._begun.keys()
        for kind, key in missing:
            window = needed[kind, key]
            between = (micros(window.starts_at), micros(window.ends_at))
            self._cursor.execute(BEGIN, (kind, key, *between))
            sums = sums_of(self._cursor, kind, between).items()
            rows = ((scope, key, *between, *each) for scope, each in sums)
            self._cursor.executemany(INSERT, rows)
            self._begun[kind, key] = between
        if missing:
            self._sums = self._read()
        return bool(missing)

    def of(self, standing: Iterable[Standing]) -> list[Meter]:
        """Return those that some limits are held against."""
        return [
            self._meter(scope, window, limits)
            for (scope, window), limits in self._needed(standing).items()
        ]

    def hold(self, reserved: int) -> None:
        """Hold so many nano-dollars and count the attempt, in every meter."""
        if not self._begun:
            return
        self._insert_missing()
        if self._intent.n == 1:
            self._hold(reserved, 1, self._scopes)
            return
        by_attempt = [scope for scope in self._scopes if scope.startswith(BY_ATTEMPT)]
        self._hold(reserved, 1, by_attempt)
        self._hold(reserved, 0, [scope for scope in self._scopes if scope not in by_attempt])

    def _needed(self, standing: Iterable[Standing]) -> dict[tuple[str, Window], list[Limit]]:
        """Return the scopes and windows that some limits are counted in."""
        needed: dict[tuple[str, Window], list[Limit]] = {}
        for each in standing:
            span = SPANS_OF.get(each.limit.name)
            if span is not None:
                needed.setdefault((each.scope, self._windows[span]), []).append(each.limit)
        return needed

    def _hold(self, reserved: int, calls: int, scopes: Sequence[str]) -> None:
        self._cursor.execute(HOLD, (reserved, calls, *_filled(scopes), self._at, self._at))

    def _insert_missing(self) -> None:
        by_kind = {kind_of(scope): scope for scope in self._scopes}
        for (kind, key), between in self._begun.items():
            scope = by_kind.get(kind)
            if scope is not None and (scope, key) not in self._sums:
                self._cursor.execute(INSERT, (scope, key, *between, 0, 0, 0))

    def _meter(self, scope: str, window: Window, limits: Sequence[Limit]) -> Meter:
        spent, held, calls = self._sums.get((scope, window.key), (0, 0, 0))
        return Meter(
            scope=scope, window=window, limits=limits, spent=spent, held=held, calls=calls
        )  # fmt: skip

    def _read(self) -> dict[tuple[str, str], Sums]:
        rows = self._cursor.execute(METERS, (*_filled(self._scopes), self._at, self._at))
        return {(scope, key): (spent, held, calls) for scope, key, spent, held, calls in rows}


def named(scope: str) -> str:
    """Return a scope in words."""
    kind, _, name = scope.partition(":")
    return "the whole gate" if not name else f"{NOUNS[kind]} {name}"


def book(
    cursor: sqlite3.Cursor, scopes: Sequence[str], sent_at: int, *, spent: int, held: int
) -> None:
    """Add to what is spent and take off what is held, in every meter of an attempt.

    Args:
        cursor: Inside a transaction.
        scopes: Every scope of the attempt.
        sent_at: When it was sent, as its row has it.
        spent: Nano-dollars.
        held: Nano-dollars.
    """
    cursor.execute(BOOK, (spent, held, *_filled(scopes), sent_at, sent_at))


def forget(cursor: sqlite3.Cursor, ended_before: float) -> None:
    """Delete the windows, and their meters, that ended before an instant."""
    at = micros(ended_before)
    if cursor.execute("DELETE FROM windows WHERE ends_at < ?", (at,)).rowcount:
        cursor.execute("DELETE FROM ledger WHERE ends_at < ?", (at,))


def totals(cursor: sqlite3.Cursor, scope: str, window: Window) -> Sums:
    """Return what the attempts of a scope add up to in a window."""
    kind, _, name = scope.partition(":")
    between = (micros(window.starts_at), micros(window.ends_at))
    sql = f"SELECT {_sums(kind)} WHERE a.sent_at >= ? AND a.sent_at < ?{OF_SCOPE[kind]}"
    spent, held, calls = cursor.execute(sql, (*between, name) if name else between).fetchone()
    return spent, held, calls


def sums_of(cursor: sqlite3.Cursor, kind: str, between: tuple[int, int]) -> dict[str, Sums]:
    """Return what the attempts between two instants add up to, for every scope of a kind."""
    sql = f"SELECT {SCOPE[kind]}, {_sums(kind)} WHERE a.sent_at >= ? AND a.sent_at < ? GROUP BY 1"
    rows: list[tuple[Any, ...]] = cursor.execute(sql, between).fetchall()
    return {scope: (spent, held, calls) for scope, spent, held, calls in rows if scope is not None}


def _sums(kind: str) -> str:
    counted = "count(*)" if f"{kind}:" in BY_ATTEMPT else "count(CASE WHEN a.n = 1 THEN 1 END)"
    return f"""
        coalesce(sum(a.cost_nano), 0),
        coalesce(sum(CASE WHEN a.state = 'running' THEN a.reserved_nano END), 0),
        {counted}
        FROM attempts a JOIN calls c ON c.seq = a.call_seq
    """


def _filled(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return as many names as a statement asks for; no scope has the name that is none."""
    return (*scopes, *[""] * (MOST_SCOPES - len(scopes)))

"""Meters: what a scope has spent, holds and has asked for in one window of the calendar.

A meter is a row of the ledger. A window is begun for a kind of scope, such as all users, when a
limit first needs it: what its attempts add up to so far is written, so that a limit that comes in
the middle of a day counts the whole day. From then on an attempt is booked in every meter of its
scopes whose window it falls into, whatever limits hold: one that is lifted and comes back has
missed nothing, and a scope without a meter has done nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from callgate.store.calendar import Window
from callgate.store.limits import BY_ATTEMPT
from callgate.store.rows import micros
from callgate.store.rulebook import Place, change
from callgate.store.sql import Cursor

BEGIN: Final = "INSERT INTO windows VALUES (?, ?, ?, ?)"

READ: Final = """
    SELECT spent_nano, held_nano, calls FROM ledger WHERE scope = ? AND "window" = ?
"""

INSERT: Final = """
    INSERT INTO ledger (scope, "window", starts_at, ends_at, spent_nano, held_nano, calls)
    VALUES (?, ?, ?, ?, ?, ?, ?)
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

Sums = tuple[int, int, int]
"""Spent, held, and counted calls or attempts."""

NOTHING: Final[Sums] = (0, 0, 0)


def begin(cursor: Cursor, windows: Mapping[tuple[str, str], Window]) -> None:
    """Begin windows: every scope of a kind gets the meter that its attempts add up to.

    Args:
        cursor: Inside a transaction.
        windows: By kind and key.
    """
    for (kind, key), window in windows.items():
        between = (micros(window.starts_at), micros(window.ends_at))
        cursor.execute(BEGIN, (kind, key, *between))
        sums = sums_of(cursor, kind, between).items()
        rows = ((scope, key, *between, *each) for scope, each in sums)
        cursor.executemany(INSERT, rows)
    change(cursor)


def read(cursor: Cursor, places: Sequence[Place]) -> list[Sums | None]:
    """Return what the meters of some places say; None for one that is not there."""
    if not places:
        return []
    names = [name for place in places for name in (place.scope, place.window.key)]
    rows = cursor.execute(_read_sql(len(places)), names).fetchall()
    found: dict[int, Sums] = {n: (spent, held, calls) for n, spent, held, calls in rows}
    return [found.get(n) for n in range(len(places))]


def insert_missing(cursor: Cursor, places: Sequence[Place], found: Sequence[Sums | None]) -> None:
    """Write the meters that were not there: their scopes have done nothing yet."""
    for place, sums in zip(places, found, strict=True):
        if sums is None:
            window = place.window
            row = (place.scope, window.key, window.starts_at, window.ends_at, *NOTHING)
            cursor.execute(INSERT, row)


def book(cursor: Cursor, scopes: Sequence[str], sent_at: int, *, spent: int, held: int) -> None:
    """Add to what is spent and take off what is held, in every meter of an attempt.

    Args:
        cursor: Inside a transaction.
        scopes: Every scope of the attempt.
        sent_at: When it was sent, as its row has it.
        spent: Nano-dollars.
        held: Nano-dollars.
    """
    cursor.execute(_book_sql(len(scopes)), (spent, held, *scopes, sent_at, sent_at))


def forget(cursor: Cursor, ended_before: float) -> None:
    """Delete the windows, and their meters, that ended before an instant."""
    at = micros(ended_before)
    if cursor.execute("DELETE FROM windows WHERE ends_at < ?", (at,)).rowcount:
        cursor.execute("DELETE FROM ledger WHERE ends_at < ?", (at,))
        change(cursor)


def totals(cursor: Cursor, scope: str, window: Window) -> Sums:
    """Return what the attempts of a scope add up to in a window."""
    kind, _, name = scope.partition(":")
    between = (micros(window.starts_at), micros(window.ends_at))
    sql = f"SELECT {_sums(kind)} WHERE a.sent_at >= ? AND a.sent_at < ?{OF_SCOPE[kind]}"
    spent, held, calls = cursor.execute(sql, (*between, name) if name else between).fetchone()
    return spent, held, calls


def sums_of(cursor: Cursor, kind: str, between: tuple[int, int]) -> dict[str, Sums]:
    """Return what the attempts between two instants add up to, for every scope of a kind."""
    sql = f"SELECT {SCOPE[kind]}, {_sums(kind)} WHERE a.sent_at >= ? AND a.sent_at < ? GROUP BY 1"
    rows: list[tuple[Any, ...]] = cursor.execute(sql, between).fetchall()
    return {scope: (spent, held, calls) for scope, spent, held, calls in rows if scope is not None}


def _sums(kind: str) -> str:
    counted = "count(*)" if kind in BY_ATTEMPT else "count(CASE WHEN a.n = 1 THEN 1 END)"
    return f"""
        coalesce(sum(a.cost_nano), 0),
        coalesce(sum(CASE WHEN a.state = 'running' THEN a.reserved_nano END), 0),
        {counted}
        FROM attempts a JOIN calls c ON c.seq = a.call_seq
    """


@cache
def _read_sql(places: int) -> str:
    """Return the statement that reads so many meters: one look-up each, and nothing to sort."""
    one = 'SELECT {n}, spent_nano, held_nano, calls FROM ledger WHERE scope = ? AND "window" = ?'
    return " UNION ALL ".join(one.format(n=n) for n in range(places))


@cache
def _book_sql(scopes: int) -> str:
    return f"""
        UPDATE ledger SET spent_nano = spent_nano + ?, held_nano = held_nano - ?
        WHERE scope IN ({", ".join("?" * scopes)}) AND starts_at <= ? AND ends_at > ?
    """

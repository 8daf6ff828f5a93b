"""Rates: calls in any interval of a length, exact, whatever the interval.

A scope's calls are numbered ticks. With at most N of them in a window, the tick that is N calls
back must be older than the window; one look-up tells, however many there are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from math import inf
from typing import Final

import msgspec

from callgate.clock import rfc3339
from callgate.errors import OverLimit, Reason
from callgate.store import Intent
from callgate.store.limits import RATES, Limit, Standing
from callgate.store.meters import BY_ATTEMPT, OF_SCOPE, Meter, counts, named
from callgate.store.rows import MICROS, micros

LAST: Final = "SELECT n, at FROM ticks WHERE scope = ? ORDER BY n DESC LIMIT 1"
FIRST: Final = "SELECT n FROM ticks WHERE scope = ? ORDER BY n LIMIT 1"
TICK: Final = "SELECT at FROM ticks WHERE scope = ? AND n = ?"
LONGEST_SECONDS: Final = max(RATES.values())


class Ticks(msgspec.Struct, frozen=True, kw_only=True):
    """A scope's last calls, as the transaction sees them."""

    scope: str
    keep: int
    """How many must be known: its largest limit."""
    last: int
    """The number of the newest; 0 where there is none."""
    now: int
    """The time of the call that is judged, in microseconds; never before the newest tick, so that
    a clock that is set back opens no gap."""
    rebuilt: tuple[int, ...] | None
    """The times of the newest calls by the audit log, oldest first, where the ticks do not reach
    far enough; None where they do."""


class Excess(msgspec.Struct, frozen=True):
    """A limit that a call does not fit into, and when it would."""

    limit: Limit
    scope: str
    used: int
    wait_seconds: float


def refuse_over_rate(
    cursor: sqlite3.Cursor,
    intent: Intent,
    standing: Sequence[Standing],
    meters: Sequence[Meter],
) -> list[Ticks]:
    """Refuse a call that is one too many; return the ticks that it adds to.

    Raises:
        OverLimit: It does not fit; every limit is named, the longest wait counts.
    """
    found = [_ticks(cursor, intent, scope, limits) for scope, limits in _rated(intent, standing)]
    excesses = [
        *(excess for ticks, limits in found for excess in _over_rates(cursor, ticks, limits)),
        *(excess for meter in meters for excess in _over_days(intent, meter)),
    ]
    if excesses:
        raise over_limit(excesses, now=intent.sent_at)
    return [ticks for ticks, _ in found]


def tick(cursor: sqlite3.Cursor, ticks: Ticks) -> None:
    """Count a call, and forget those that no limit needs any more."""
    scope, last = ticks.scope, ticks.last
    if ticks.rebuilt is not None:
        cursor.execute("DELETE FROM ticks WHERE scope = ?", (scope,))
        # Not from 1, which would say that nothing came before.
        known = enumerate(ticks.rebuilt, start=2)
        cursor.executemany("INSERT INTO ticks VALUES (?, ?, ?)", ((scope, *one) for one in known))
        last = len(ticks.rebuilt) + 1
    cursor.execute("INSERT INTO ticks VALUES (?, ?, ?)", (scope, last + 1, ticks.now))
    cursor.execute("DELETE FROM ticks WHERE scope = ? AND n <= ?", (scope, last + 1 - ticks.keep))


def over_limit(excesses: Sequence[Excess], *, now: float) -> OverLimit:
    """Return the refusal of a call that does not fit into some limits."""
    worst = max(excesses, key=lambda excess: (excess.limit.value == 0, excess.wait_seconds))
    told = "; ".join(
        f"{excess.limit.setting} allows {excess.limit.value}, and {named(excess.scope)} has "
        f"{excess.used}"
        for excess in excesses
    )
    raising = f"raise {worst.limit.setting} in callgate.toml"
    never = any(excess.limit.value == 0 for excess in excesses)
    resets_at = None if never else rfc3339(now + worst.wait_seconds)
    fix = raising if never else f"wait until {resets_at}, or {raising}"
    reason = Reason(
        code=worst.limit.name,
        rule=worst.limit.setting,
        scope=worst.scope,
        limit=worst.limit.value,
        used=worst.used,
        needed=1,
        resets_at=resets_at,
        fix=fix,
    )
    return OverLimit(
        f"{told}; {fix}",
        retry_after_seconds=inf if never else worst.wait_seconds,
        waits=not never and all(excess.limit.waits for excess in excesses),
        reason=reason,
    )


def _rated(intent: Intent, standing: Sequence[Standing]) -> Sequence[tuple[str, Sequence[Limit]]]:
    rated: dict[str, list[Limit]] = {}
    for each in standing:
        if each.limit.name in RATES and counts(each.scope, intent):
            rated.setdefault(each.scope, []).append(each.limit)
    return list(rated.items())


def _ticks(
    cursor: sqlite3.Cursor, intent: Intent, scope: str, limits: Sequence[Limit]
) -> tuple[Ticks, Sequence[Limit]]:
    keep = max(limit.value for limit in limits)
    last, at = cursor.execute(LAST, (scope,)).fetchone() or (0, 0)
    now = max(micros(intent.sent_at), at)
    (first,) = cursor.execute(FIRST, (scope,)).fetchone() or (0,)
    reaches = last and (first == 1 or last - first + 1 >= keep)
    rebuilt = None if reaches else _from_log(cursor, scope, keep=keep, now=now)
    return Ticks(scope=scope, keep=keep, last=last, now=now, rebuilt=rebuilt), limits


def _from_log(cursor: sqlite3.Cursor, scope: str, *, keep: int, now: int) -> tuple[int, ...]:
    """Return the times of the newest calls of a scope, oldest first."""
    kind, _, name = scope.partition(":")
    counted = "" if scope.startswith(BY_ATTEMPT) else " AND a.n = 1"
    sql = f"""
        SELECT a.sent_at FROM attempts a JOIN calls c ON c.seq = a.call_seq
        WHERE a.sent_at >= ?{counted}{OF_SCOPE[kind]} ORDER BY a.sent_at DESC LIMIT ?
    """
    since = now - int(LONGEST_SECONDS * MICROS)
    given = (since, name, keep) if name else (since, keep)
    return tuple(at for (at,) in reversed(cursor.execute(sql, given).fetchall()))


def _over_rates(cursor: sqlite3.Cursor, ticks: Ticks, limits: Sequence[Limit]) -> list[Excess]:
    over: list[Excess] = []
    for limit in limits:
        length = int(RATES[limit.name] * MICROS)
        back = _back(cursor, ticks, limit.value)
        # Both ends belong to the interval.
        if back is not None and ticks.now - back <= length:
            wait = (back + length - ticks.now + 1) / MICROS
            over.append(Excess(limit, ticks.scope, limit.value, wait))
    return over


def _back(cursor: sqlite3.Cursor, ticks: Ticks, calls: int) -> int | None:
    """Return the time of the call that is so many back; None where there were not so many."""
    if calls == 0:
        return ticks.now
    if ticks.rebuilt is not None:
        return ticks.rebuilt[-calls] if calls <= len(ticks.rebuilt) else None
    found = cursor.execute(TICK, (ticks.scope, ticks.last - calls + 1)).fetchone()
    return None if found is None else int(found[0])


def _over_days(intent: Intent, meter: Meter) -> list[Excess]:
    if not counts(meter.scope, intent):
        return []
    wait = meter.window.ends_at - intent.sent_at
    return [
        Excess(limit, meter.scope, meter.calls, wait)
        for limit in meter.limits
        if limit.name == "per_day" and meter.calls >= limit.value
    ]

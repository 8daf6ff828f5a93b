"""Rates: calls in any interval of a length, exact, whatever the interval.

A scope's calls are numbered ticks. With at most N of them in a window, the tick that is N calls
back must be older than the window; one look-up tells, however many there are. Of every scope of a
kind that has a rate, as many ticks are kept as the largest rate of that kind looks back on; a
change of limits that asks for more has them written again, from the audit log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

import msgspec

from callgate.clock import rfc3339
from callgate.errors import OverLimit, Reason
from callgate.store import Intent
from callgate.store.limits import RATES, Limit, Standing, kind_of
from callgate.store.meters import BY_ATTEMPT, SCOPE, Meter, named
from callgate.store.rows import MICROS, micros

LATEST: Final = "SELECT n, at FROM ticks WHERE scope = ? ORDER BY n DESC LIMIT 1"
TICK: Final = "SELECT at FROM ticks WHERE scope = ? AND n = ?"
INSERT: Final = "INSERT INTO ticks VALUES (?, ?, ?)"
DROP: Final = "DELETE FROM ticks WHERE scope = ? AND n <= ?"
NEXT_SCOPE: Final = "SELECT min(scope) FROM ticks WHERE scope > ?"

LONGEST_SECONDS: Final = max(RATES.values())

LOOK_BACK_SECONDS: Final = 2 * LONGEST_SECONDS
"""How old the calls are at most that are written again: twice what matters, for a clock that was
set back."""

OF_KIND: Final = "(scope = ? OR scope >= ? AND scope < ?)"

FROM_LOG: Final = """
    INSERT INTO ticks
    SELECT scope, -back, sent_at FROM (
        SELECT scope, sent_at,
            row_number() OVER (PARTITION BY scope ORDER BY sent_at DESC, seq DESC) AS back
        FROM (
            SELECT {scope} AS scope, a.sent_at, a.seq
            FROM attempts a JOIN calls c ON c.seq = a.call_seq
            WHERE a.sent_at >= (SELECT max(sent_at) FROM attempts) - ?{counted}
        ) AS called
        WHERE scope IS NOT NULL
    ) AS numbered
    WHERE back <= ?
"""


class Ticks(msgspec.Struct, frozen=True, kw_only=True):
    """A scope's calls, as the transaction sees them."""

    scope: str
    keep: int
    """How many are kept."""
    last: int
    """The number of the newest."""
    now: int
    """The time of the call that is judged, in microseconds; never before the newest tick, so that
    a clock that is set back opens no gap."""


class Excess(msgspec.Struct, frozen=True):
    """A limit that a call does not fit into, and when it would."""

    limit: Limit
    scope: str
    used: int
    wait_seconds: float


def ticks_of(
    cursor: sqlite3.Cursor, intent: Intent, scopes: Sequence[str], keep: Mapping[str, int]
) -> list[Ticks]:
    """Return the ticks that an attempt adds to.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.
        scopes: Every scope that it is in.
        keep: By kind of scope, how many are kept.
    """
    return [
        _ticks(cursor, intent, scope, keep[kind_of(scope)])
        for scope in scopes
        if kind_of(scope) in keep and counts(scope, intent)
    ]


def refuse_over_rate(
    cursor: sqlite3.Cursor,
    intent: Intent,
    standing: Sequence[Standing],
    *,
    ticks: Sequence[Ticks],
    meters: Sequence[Meter],
) -> None:
    """Refuse a call that is one too many.

    Raises:
        OverLimit: It does not fit; every limit is named, the longest wait counts.
    """
    by_scope = {each.scope: each for each in ticks}
    excesses = [
        excess
        for each in standing
        if each.limit.name in RATES
        and each.scope in by_scope
        and (excess := _over_rate(cursor, intent, each, by_scope[each.scope])) is not None
    ]
    excesses += [excess for meter in meters for excess in _over_days(intent, meter)]
    if excesses:
        raise over_limit(excesses, now=intent.sent_at)


def tick(cursor: sqlite3.Cursor, ticks: Ticks) -> None:
    """Count a call, and forget those that no limit looks back on."""
    n = ticks.last + 1
    cursor.execute(INSERT, (ticks.scope, n, ticks.now))
    cursor.execute(DROP, (ticks.scope, n - ticks.keep))


def write_again(cursor: sqlite3.Cursor, kind: str, *, keep: int) -> None:
    """Write the ticks of every scope of a kind from the audit log."""
    cursor.execute(f"DELETE FROM ticks WHERE {OF_KIND}", (kind, f"{kind}:", f"{kind};"))
    counted = "" if f"{kind}:" in BY_ATTEMPT else " AND a.n = 1"
    sql = FROM_LOG.format(scope=SCOPE[kind], counted=counted)
    cursor.execute(sql, (int(LOOK_BACK_SECONDS * MICROS), keep))


def set_back(cursor: sqlite3.Cursor, now: float) -> None:
    """Let no tick be later than now: whatever the clock said, its call has been made by now."""
    cursor.execute("UPDATE ticks SET at = ? WHERE at > ?", (micros(now), micros(now)))


def forget_idle(cursor: sqlite3.Cursor, after: str, now: float, *, scopes: int) -> str:
    """Delete the ticks of scopes whose last call no interval reaches back to.

    Args:
        cursor: Inside a transaction.
        after: The scope after which to begin, in the order of the alphabet.
        now: Seconds since 1970.
        scopes: How many to look at.

    Returns:
        The last scope that was looked at; nothing after the last of all.
    """
    since = micros(now - LONGEST_SECONDS)
    for _ in range(scopes):
        (scope,) = cursor.execute(NEXT_SCOPE, (after,)).fetchone()
        if scope is None:
            return ""
        last, at = cursor.execute(LATEST, (scope,)).fetchone()
        if at < since:
            cursor.execute(DROP, (scope, last))
        after = scope
    return after


def counts(scope: str, intent: Intent) -> bool:
    """Whether an attempt counts as a call in a scope: a call is counted once, at its first."""
    return intent.n == 1 or scope.startswith(BY_ATTEMPT)


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


def _ticks(cursor: sqlite3.Cursor, intent: Intent, scope: str, keep: int) -> Ticks:
    last, at = cursor.execute(LATEST, (scope,)).fetchone() or (0, 0)
    return Ticks(scope=scope, keep=keep, last=last, now=max(micros(intent.sent_at), at))


def _over_rate(
    cursor: sqlite3.Cursor, intent: Intent, standing: Standing, ticks: Ticks
) -> Excess | None:
    limit = standing.limit
    length = int(RATES[limit.name] * MICROS)
    back = _back(cursor, ticks, limit.value)
    # Both ends belong to the interval.
    if back is None or ticks.now - back > length:
        return None
    wait = min(length, back + length + 1 - micros(intent.sent_at))
    return Excess(limit, standing.scope, limit.value, wait / MICROS)


def _back(cursor: sqlite3.Cursor, ticks: Ticks, calls: int) -> int | None:
    """Return the time of the call that is so many back; None where there were not so many."""
    if calls == 0:
        return ticks.now
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

"""Rates: calls in any interval of a length, exact, whatever the interval.

A scope's calls are numbered ticks. With at most N of them in a window, the tick that is N calls
back must be older than the window; one look-up tells, however many there are. Of every scope of a
kind that has a rate, as many ticks are kept as the largest rate of that kind looks back on; a
change of limits that asks for more has them written again, from the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Final

import msgspec

from callgate.clock import rfc3339
from callgate.errors import OverLimit, Reason
from callgate.store import Intent
from callgate.store.limits import BY_ATTEMPT, RATES, Limit, kind_of, named
from callgate.store.meters import NOTHING, SCOPE, Sums
from callgate.store.rows import MICROS, micros
from callgate.store.rulebook import Metered, Rated, Terms
from callgate.store.sql import Cursor

BACK: Final = ", (SELECT at FROM ticks b WHERE b.scope = a.scope AND b.n = a.n - ?)"
LATEST: Final = tuple(
    f"SELECT n{BACK * rates} FROM ticks a WHERE scope = ? ORDER BY n DESC LIMIT 1"
    for rates in range(len(RATES) + 1)
)
"""By number of rates: the number of the newest tick, and for each rate the time of the one that it
looks back on. Any N calls that follow one another stand in N rows of which each has such gaps, and
an interval holds one of each row at most: so they need not stand in the order of their times."""

INSERT: Final = "INSERT INTO ticks VALUES (?, ?, ?)"
DROP: Final = "DELETE FROM ticks WHERE scope = ? AND n <= ?"
NEWEST: Final = "SELECT n, at FROM ticks WHERE scope = ? ORDER BY n DESC LIMIT 1"
NEXT_SCOPE: Final = "SELECT min(scope) FROM ticks WHERE scope > ?"

DROPPED_TOGETHER: Final = 16
"""How many ticks are deleted at once; until then as many more are kept than any rate needs."""

LONGEST_SECONDS: Final = max(RATES.values())

LOOK_BACK_SECONDS: Final = 2 * LONGEST_SECONDS
"""How old the calls are at most that are known: twice what matters, for a clock that was set back."""

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


class Ticks(msgspec.Struct, frozen=True):
    """A scope's calls, as the transaction sees them."""

    rated: Rated
    last: int
    """The number of the newest."""
    backs: list[int | None]
    """For each rate: the time of the call that it looks back on, if there were so many."""


class Excess(msgspec.Struct, frozen=True):
    """A limit that a call does not fit into, and when it would."""

    limit: Limit
    scope: str
    used: int
    wait_seconds: float
    """Infinity where it never fits."""
    needed: int = 1


def read_ticks(cursor: Cursor, intent: Intent, rated: Iterable[Rated]) -> list[Ticks]:
    """Return the ticks that an attempt adds to, of the scopes where it may."""
    return [
        _ticks(cursor, each) for each in rated if intent.n == 1 or kind_of(each.scope) in BY_ATTEMPT
    ]


def refuse_over_rate(
    intent: Intent, terms: Terms, ticks: Iterable[Ticks], sums: Sequence[Sums | None]
) -> None:
    """Refuse a call that is one too many.

    Args:
        intent: What is to be admitted.
        terms: What it is held to.
        ticks: Those that it adds to.
        sums: What the meters of its places say.

    Raises:
        OverLimit: It does not fit; every limit is named, the longest wait counts.
    """
    sent_at = micros(intent.sent_at)
    excesses = [excess for each in ticks for excess in _over_rates(each, sent_at)]
    for metered in terms.metered:
        if metered.days and (intent.n == 1 or kind_of(metered.scope) in BY_ATTEMPT):
            excesses += _over_days(intent, metered, sums[metered.place] or NOTHING)
    if excesses:
        raise over_limit(excesses, now=intent.sent_at)


def tick(cursor: Cursor, ticks: Ticks, sent_at: int) -> None:
    """Count a call, and forget some that no limit looks back on.

    Args:
        cursor: Inside the transaction that admits.
        ticks: Where it is counted.
        sent_at: When it was sent, as its row has it.
    """
    scope, n = ticks.rated.scope, ticks.last + 1
    cursor.execute(INSERT, (scope, n, sent_at))
    if n % DROPPED_TOGETHER == 0:
        cursor.execute(DROP, (scope, n - ticks.rated.keep))


def write_again(cursor: Cursor, kind: str, *, keep: int) -> None:
    """Write the ticks of every scope of a kind from the audit log."""
    cursor.execute(f"DELETE FROM ticks WHERE {OF_KIND}", (kind, f"{kind}:", f"{kind};"))
    counted = "" if kind in BY_ATTEMPT else " AND a.n = 1"
    sql = FROM_LOG.format(scope=SCOPE[kind], counted=counted)
    cursor.execute(sql, (int(LOOK_BACK_SECONDS * MICROS), keep))


def set_back(cursor: Cursor, now: float) -> None:
    """Let no tick be later than now: whatever the clock said, its call has been made by now."""
    cursor.execute("UPDATE ticks SET at = ? WHERE at > ?", (micros(now), micros(now)))


def forget_idle(cursor: Cursor, after: str, now: float, *, scopes: int) -> str:
    """Delete the ticks of scopes whose last call is so old that no interval reaches back to any.

    Args:
        cursor: Inside a transaction.
        after: The scope after which to begin, in the order of the alphabet.
        now: Seconds since 1970.
        scopes: How many to look at.

    Returns:
        The last scope that was looked at; nothing after the last of all.
    """
    since = micros(now - LOOK_BACK_SECONDS)
    for _ in range(scopes):
        (scope,) = cursor.execute(NEXT_SCOPE, (after,)).fetchone()
        if scope is None:
            return ""
        last, at = cursor.execute(NEWEST, (scope,)).fetchone()
        if at < since:
            cursor.execute(DROP, (scope, last))
        after = scope
    return after


def over_limit(excesses: Sequence[Excess], *, now: float) -> OverLimit:
    """Return the refusal of a call that does not fit into some limits."""
    worst = max(excesses, key=lambda excess: excess.wait_seconds)
    told = "; ".join(map(_told, excesses))
    raising = f"raise {worst.limit.setting} in callgate.toml"
    never = worst.wait_seconds == inf
    resets_at = None if never else rfc3339(now + worst.wait_seconds)
    fix = raising if never else f"wait until {resets_at}, or {raising}"
    reason = Reason(
        code=worst.limit.name,
        rule=worst.limit.setting,
        scope=worst.scope,
        limit=worst.limit.value,
        used=worst.used,
        needed=worst.needed,
        resets_at=resets_at,
        fix=fix,
    )
    return OverLimit(
        f"{told}; {fix}",
        retry_after_seconds=worst.wait_seconds,
        waits=not never and all(excess.limit.waits for excess in excesses),
        reason=reason,
    )


def _told(excess: Excess) -> str:
    needs = "" if excess.needed == 1 else f", and this call may take {excess.needed}"
    return (
        f"{excess.limit.setting} allows {excess.limit.value}, and {named(excess.scope)} has "
        f"{excess.used}{needs}"
    )


def _ticks(cursor: Cursor, rated: Rated) -> Ticks:
    sql, given = LATEST[len(rated.backs)], (*rated.backs, rated.scope)
    found = cursor.execute(sql, given).fetchone()
    if found is None:
        return Ticks(rated, 0, [None] * len(rated.backs))
    last, *backs = found
    return Ticks(rated, last, backs)


def _over_rates(ticks: Ticks, sent_at: int) -> Iterable[Excess]:
    for limit, known in zip(ticks.rated.limits, ticks.backs, strict=True):
        length = int(RATES[limit.name] * MICROS)
        back = known if limit.value else sent_at
        # Both ends belong to the interval.
        if back is not None and sent_at - back <= length:
            wait = min(length, back + length + 1 - sent_at) / MICROS
            yield Excess(limit, ticks.rated.scope, limit.value, wait if limit.value else inf)


def _over_days(intent: Intent, metered: Metered, sums: Sums) -> Iterable[Excess]:
    calls = sums[2]
    wait = metered.window.ends_at - intent.sent_at
    return (
        Excess(limit, metered.scope, calls, wait if limit.value else inf)
        for limit in metered.days
        if calls >= limit.value
    )

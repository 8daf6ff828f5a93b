"""Tokens a minute: how many tokens a provider's attempts may take in any 60 seconds.

An attempt counts in the second in which it was sent: what is expected of it, until its end tells
its usage, and that from then on. Time is looked at in whole seconds, so that an interval of 60
seconds is judged by the 61 that it may touch: never by less.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import inf
from typing import Any, Final

from callgate.call import Usage
from callgate.store import Intent
from callgate.store.limits import Standing
from callgate.store.rates import Excess, over_limit
from callgate.store.rows import MICROS
from callgate.store.sql import Cursor

SECONDS: Final = 61
"""Whole seconds that an interval of 60 seconds may touch."""

READ: Final = "SELECT second, tokens FROM tokens WHERE scope = ? AND second > ? ORDER BY second"

ADD: Final = """
    INSERT INTO tokens VALUES (?, ?, ?)
    ON CONFLICT (scope, second) DO UPDATE SET tokens = tokens.tokens + excluded.tokens
"""

CORRECT: Final = "UPDATE tokens SET tokens = tokens + ? WHERE scope = ? AND second = ?"

LATER: Final = "SELECT scope, sum(tokens) FROM tokens WHERE second > ? GROUP BY scope"


def refuse_over_tokens(cursor: Cursor, intent: Intent, limits: Iterable[Standing]) -> None:
    """Refuse an attempt that may take more tokens than are left of a minute.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.
        limits: Those of tokens that hold for it.

    Raises:
        OverLimit: It does not fit.
    """
    excesses = list(_excesses(cursor, intent, limits))
    if excesses:
        raise over_limit(excesses, now=intent.sent_at)


def _excesses(cursor: Cursor, intent: Intent, limits: Iterable[Standing]) -> Iterable[Excess]:
    for each in limits:
        seconds = _taken(cursor, each.scope, int(intent.sent_at))
        used = sum(tokens for _, tokens in seconds)
        room = each.limit.value - intent.tokens
        if used > room:
            wait = _wait_seconds(seconds, used - room, now=intent.sent_at) if room >= 0 else inf
            yield Excess(each.limit, each.scope, used, wait, needed=intent.tokens)


def count(cursor: Cursor, scope: str, sent_at: int, tokens: int) -> None:
    """Count what is expected of an attempt.

    Args:
        cursor: Inside the transaction that admits.
        scope: Whose tokens, such as ``provider:openai``.
        sent_at: When it was sent, as its row has it.
        tokens: What is expected of it.
    """
    cursor.execute(ADD, (scope, sent_at // MICROS, tokens))


def correct(cursor: Cursor, scope: str, sent_at: int, *, counted: int, usage: Usage | None) -> None:
    """Let an attempt count what it took, instead of what was expected.

    Args:
        cursor: Inside the transaction that settles.
        scope: Whose tokens.
        sent_at: When it was sent, as its row has it.
        counted: What was expected.
        usage: What it took; None where nobody knows, and then what was expected stays.
    """
    if usage is not None:
        cursor.execute(CORRECT, (tokens_of(usage) - counted, scope, sent_at // MICROS))


def tokens_of(usage: Usage) -> int:
    """Return how many tokens a reply took, whatever each of them costs."""
    return usage.total_input_tokens + usage.output_tokens + usage.reasoning_tokens


def taken(cursor: Cursor, scope: str, now: float) -> int:
    """Return how many tokens a scope has taken in the last minute."""
    return sum(tokens for _, tokens in _taken(cursor, scope, int(now)))


def forget(cursor: Cursor, before: float) -> None:
    """Delete the seconds before an instant, at which nobody looks any more."""
    cursor.execute("DELETE FROM tokens WHERE second < ?", (int(before),))


def set_back(cursor: Cursor, now: float) -> None:
    """Let no second be later than now: whatever the clock said, its attempts have been made by now."""
    second = int(now)
    later = cursor.execute(LATER, (second,)).fetchall()
    cursor.execute("DELETE FROM tokens WHERE second > ?", (second,))
    cursor.executemany(ADD, [(scope, second, tokens) for scope, tokens in later])


def _taken(cursor: Cursor, scope: str, second: int) -> list[Any]:
    return cursor.execute(READ, (scope, second - SECONDS)).fetchall()


def _wait_seconds(seconds: list[Any], excess: int, *, now: float) -> float:
    """Return how long until as many tokens are out of the minute as are too many."""
    freed = accumulate(tokens for _, tokens in seconds)
    last = next(second for (second, _), free in zip(seconds, freed, strict=True) if free >= excess)
    return float(last + SECONDS - now)

"""Prices in the store: noted before an attempt leaves by them, and put on history anew."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from callgate.call import Candidate, Usage
from callgate.money import Money
from callgate.store import lines, meters
from callgate.store.limits import scopes_of
from callgate.store.priced import NotedPrice, PastAttempt, Repricing
from callgate.store.rows import MICROS, Row, maybe_money, micros
from callgate.store.sql import Cursor

NOTE: Final = "INSERT INTO prices VALUES (?, ?, ?) ON CONFLICT (version) DO NOTHING"

# Those that were never told a usage tell no more than that they are there.
PAST: Final = """
    SELECT a.seq, a.provider, a.model, a.sent_at, a.service_tier, a.unpriced, a.cost_nano,
        a.estimated, CASE WHEN a.state = 'ok' OR a.cost_nano IS NOT NULL THEN 1 ELSE 0 END,
        a.price_version, a.input_tokens, a.cache_read_tokens, a.cache_write_tokens,
        a.cache_write_long_tokens, a.output_tokens, a.reasoning_tokens
    FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.seq > ? AND a.state <> 'running' AND c.kind = 'model'
        AND a.sent_at >= ? AND a.sent_at < ?{only}
    ORDER BY a.seq LIMIT ?
"""

OF_MODEL: Final = " AND (a.model = ? OR a.provider || ':' || a.model = ?)"

PLACES: Final = """
    SELECT a.cost_nano, a.price_version, a.task_id, a.sent_at,
        c.agent, c.task_type, c.user, a.provider, CASE WHEN c.kind = 'tool' THEN c.target END
    FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.seq = ? AND a.state <> 'running' AND a.estimated = 0
"""

KEEP_FIRST: Final = """
    INSERT INTO repriced (attempt_seq, first_cost_nano, first_price_version, repriced_at)
    VALUES (?, ?, ?, ?) ON CONFLICT (attempt_seq) DO NOTHING
"""

REPRICE: Final = "UPDATE attempts SET cost_nano = ?, price_version = ? WHERE seq = ?"


def note_prices(cursor: Cursor, prices: Sequence[NotedPrice]) -> None:
    """Write the numbers of versions; those that are there stay."""
    cursor.executemany(
        NOTE, [(price.version, price.numbers, micros(price.noted_at)) for price in prices]
    )


def noted_prices(cursor: Cursor, *, versions: Collection[str]) -> dict[str, str]:
    """Return the numbers of versions, as far as they were noted."""
    if not versions:
        return {}
    marks = ", ".join("?" * len(versions))
    sql = f"SELECT version, numbers FROM prices WHERE version IN ({marks})"
    return dict(cursor.execute(sql, tuple(versions)).fetchall())


def past_attempts(
    cursor: Cursor, *, after: int, since: float, until: float, model: str | None, limit: int
) -> list[PastAttempt]:
    """Return settled attempts of model calls in their order; see :class:`Priced`."""
    only, named = ("", ()) if model is None else (OF_MODEL, (model, model))
    given = (after, micros(since), micros(until), *named, limit)
    return [_past(row) for row in cursor.execute(PAST.format(only=only), given).fetchall()]


def _past(row: Row) -> PastAttempt:
    seq, provider, model, sent_at, tier, unpriced, cost, estimated, finished, version, *usage = row
    return PastAttempt(
        seq=seq,
        candidate=Candidate(provider=provider, model=model),
        sent_at=sent_at / MICROS,
        usage=None
        if usage[0] is None
        else Usage(**dict(zip(Usage.__struct_fields__, usage, strict=True))),
        service_tier=tier,
        unpriced=unpriced,
        cost=maybe_money(cost),
        estimated=bool(estimated),
        finished=bool(finished),
        price_version=version,
    )


def reprice(cursor: Cursor, asked: tuple[Sequence[Repricing], float]) -> int:
    """Book other costs wherever their attempts are booked; return how many were."""
    repricings, now = asked
    return sum(_reprice(cursor, each, at=micros(now)) for each in repricings)


def _reprice(cursor: Cursor, repricing: Repricing, *, at: int) -> bool:
    found = cursor.execute(PLACES, (repricing.seq,)).fetchone()
    if found is None:
        return False
    cost, version, task_id, sent_at, *names = found
    if maybe_money(cost) != repricing.was:
        return False
    cursor.execute(KEEP_FIRST, (repricing.seq, cost, version, at))
    cursor.execute(REPRICE, (repricing.cost.nano, repricing.price_version, repricing.seq))
    more = (repricing.cost - Money(cost or 0)).nano
    if more:
        agent, task_type, user, provider, tool = names
        scopes = scopes_of(
            agent=agent, task_type=task_type, user=user, provider=provider, tool=tool
        )
        lines.correct(cursor, task_id, spent=more)
        meters.book(cursor, scopes, sent_at, spent=more, held=0)
    return True

"""How well bounds fit: what was held for attempts against what they cost in the end."""

from __future__ import annotations

from typing import Final

from callgate.call import COUNTED
from callgate.money import Money
from callgate.store import Bounded
from callgate.store.rows import Row, micros
from callgate.store.sql import Cursor

# An estimate is what was held, and what cost nothing was not served: neither tells how it fits.
BOUNDED: Final = f"""
    WITH served AS (
        SELECT c.task_type AS type, a.provider || ':' || a.model AS model, c.request_bytes,
            a.reserved_nano AS reserved, a.cost_nano AS cost,
            CASE WHEN a.cost_nano > a.reserved_nano THEN 1 ELSE 0 END AS is_passed,
            CASE WHEN a.changes LIKE '%"{COUNTED}"%' THEN 1 ELSE 0 END AS is_counted,
            a.input_tokens + a.cache_read_tokens + a.cache_write_tokens
                + a.cache_write_long_tokens AS input, a.output_tokens_limit AS output_limit,
            a.output_tokens + a.reasoning_tokens AS output
        FROM attempts a JOIN calls c ON c.seq = a.call_seq
        WHERE a.sent_at >= ? AND a.sent_at < ? AND a.estimated = 0
            AND a.reserved_nano > 0 AND a.cost_nano > 0 AND a.input_tokens IS NOT NULL
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY type, model ORDER BY output) AS place,
            count(*) OVER (PARTITION BY type, model) AS places
        FROM served
    )
    SELECT type, model, count(*), sum(is_counted), sum(is_passed), sum(reserved), sum(cost),
        sum(request_bytes), sum(input), max(input),
        max(CASE WHEN place = (places + 1) / 2 THEN output END),
        max(CASE WHEN place = (places * 95 + 99) / 100 THEN output END), max(output),
        max(output_limit)
    FROM ranked GROUP BY type, model ORDER BY sum(reserved) - sum(cost) DESC, type, model
"""


def bounded(cursor: Cursor, *, since: float, until: float) -> list[Bounded]:
    """Return how bounds fitted by task type and model, first where most was held for nothing.

    Args:
        cursor: Where the attempts are.
        since: The first instant, seconds since 1970.
        until: The first instant that is not in it any more.
    """
    rows = cursor.execute(BOUNDED, (micros(since), micros(until))).fetchall()
    return [_bounded_of(row) for row in rows]


def _bounded_of(row: Row) -> Bounded:
    return Bounded(
        task_type=row[0], model=row[1], attempts=row[2], counted=row[3], passed=row[4],
        reserved=Money(row[5]), cost=Money(row[6]), request_bytes=row[7], input_tokens=row[8],
        most_input_tokens=row[9], p50_output_tokens=row[10], p95_output_tokens=row[11],
        most_output_tokens=row[12], output_tokens_limit=row[13],
    )  # fmt: skip

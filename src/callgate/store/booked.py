"""What the attempts of some stretches of time add up to, to be held against a provider's bill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callgate.call import Usage
from callgate.money import Money
from callgate.store import Booked
from callgate.store.calendar import Window
from callgate.store.rows import Row, micros
from callgate.store.sql import Cursor

# An attempt that cost nothing and got no output was not served: no provider counts its tokens.
BOOKED: Final = """
    WITH d (name, starts_at, ends_at) AS (VALUES {windows}), told AS (
        SELECT d.name, a.provider, a.model, a.answered_by, a.service_tier,
            CASE WHEN a.state = 'running' THEN 'running'
                WHEN a.cost_nano IS NULL THEN 'unknown'
                WHEN a.estimated = 1 THEN 'estimated'
                WHEN a.cost_nano = 0 AND coalesce(a.output_tokens, 0) = 0 THEN 'free'
                ELSE 'known' END AS kind,
            coalesce(a.cost_nano, 0) AS cost, coalesce(a.reserved_nano, 0) AS reserved,
            coalesce(a.input_tokens, 0) AS input, coalesce(a.cache_read_tokens, 0) AS cache_read,
            coalesce(a.cache_write_tokens, 0) AS cache_write,
            coalesce(a.cache_write_long_tokens, 0) AS cache_write_long,
            coalesce(a.output_tokens, 0) AS output, coalesce(a.reasoning_tokens, 0) AS reasoning
        FROM attempts a JOIN calls c ON c.seq = a.call_seq
            JOIN d ON a.sent_at >= d.starts_at AND a.sent_at < d.ends_at
        WHERE c.kind = 'model' AND a.provider IN ({providers})
    )
    SELECT name, provider, model, answered_by, service_tier, kind, count(*), sum(cost),
        sum(reserved), sum(input), sum(cache_read), sum(cache_write), sum(cache_write_long),
        sum(output), sum(reasoning)
    FROM told GROUP BY 1, 2, 3, 4, 5, 6
    ORDER BY name, provider, model, answered_by NULLS FIRST, service_tier NULLS FIRST, kind
"""


def booked(cursor: Cursor, *, windows: Sequence[Window], providers: Sequence[str]) -> list[Booked]:
    """Return what the attempts of some windows add up to, told apart by model and by how they stand.

    Args:
        cursor: Where the attempts are.
        windows: Which share no instant, each with a name of its own.
        providers: Whose attempts.
    """
    if not windows or not providers:
        return []
    sql = BOOKED.format(
        windows=", ".join(["(?, ?, ?)"] * len(windows)),
        providers=", ".join("?" * len(providers)),
    )
    given = [
        told
        for window in windows
        for told in (window.name, micros(window.starts_at), micros(window.ends_at))
    ]
    return [_booked_of(row) for row in cursor.execute(sql, (*given, *providers)).fetchall()]


def _booked_of(row: Row) -> Booked:
    names = Usage.__struct_fields__
    return Booked(
        window=row[0], provider=row[1], model=row[2], answered_by=row[3], service_tier=row[4],
        kind=row[5], attempts=row[6], cost=Money(row[7]), reserved=Money(row[8]),
        usage=Usage(**dict(zip(names, row[9:], strict=True))),
    )  # fmt: skip

"""How candidates have done lately: what routes by latency and by reliability go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median_low
from typing import Final

from callgate.call import Candidate
from callgate.store.rows import MICROS, Row, micros
from callgate.store.sql import Cursor
from callgate.store.watched import Performance

MOST_ATTEMPTS: Final = 2_000
"""So many of the newest are looked at, of all candidates together."""

ITS_OWN_FAULT: Final = frozenset({408, 425, 429})
"""Statuses below 500 that tell of who answered, and not of what was asked.

Source: the matrix of failures, ``callgate.pipeline.matrix``.
"""

FIRST_ERROR: Final = 400
FIRST_SERVER_ERROR: Final = 500

LATEST: Final = """
    SELECT a.provider, a.model, a.state, a.http_status, a.first_byte_at - a.sent_at
    FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.sent_at >= ? AND a.state IN ('ok', 'failed') AND c.kind = 'model'
    ORDER BY a.sent_at DESC LIMIT ?
"""


def performance(cursor: Cursor, *, since: float) -> Mapping[Candidate, Performance]:
    """Return how each candidate has done since an instant, in seconds since 1970."""
    rows = cursor.execute(LATEST, (micros(since), MOST_ATTEMPTS)).fetchall()
    by_candidate: dict[Candidate, list[Row]] = {}
    for provider, model, *told in rows:
        candidate = Candidate(provider=provider, model=model)
        by_candidate.setdefault(candidate, []).append(tuple(told))
    return {candidate: _performance(told) for candidate, told in by_candidate.items()}


def _performance(rows: Iterable[Row]) -> Performance:
    told = list(rows)
    waits = [wait for _, _, wait in told if wait is not None]
    return Performance(
        attempts=len(told),
        failures=sum(_is_its_fault(state, status) for state, status, _ in told),
        first_content_seconds=median_low(waits) / MICROS if waits else None,
    )


def _is_its_fault(state: str, status: int | None) -> bool:
    if state == "ok":
        return False
    # Without a status nobody answered; with a good one the reply broke.
    is_of_request = status is not None and FIRST_ERROR <= status < FIRST_SERVER_ERROR
    return not is_of_request or status in ITS_OWN_FAULT

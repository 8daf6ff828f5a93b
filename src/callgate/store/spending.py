"""What was spent, by whom and on what: the sums that spend views and forecasts stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from callgate.money import Money
from callgate.store import CallKind, Grouping, Hold, Spending
from callgate.store.calendar import Window
from callgate.store.heartbeat import identity_of
from callgate.store.meters import OF_SCOPE
from callgate.store.owners import find_place, is_alive
from callgate.store.rows import MICROS, Row, maybe_money, micros
from callgate.store.sql import Cursor

NAMES: Final[Mapping[Grouping, str]] = {
    "type": "c.task_type",
    "model": "a.provider || ':' || a.model",
    "tool": "c.target",
    "user": "c.user",
    "agent": "c.agent",
    "provider": "a.provider",
    "day": "d.name",
}
"""By what spending is grouped: how an attempt tells it."""

# An attempt that runs has no cost yet; one that ended without is unknown, and in no sum. The cost
# of a task counts among those of others only where all of it is known.
SPENDING: Final = """
    WITH {days} by_task AS (
        SELECT {name} AS name, a.task_id, count(DISTINCT a.call_seq) AS calls,
            coalesce(sum(a.input_tokens + a.cache_read_tokens + a.cache_write_tokens
                + a.cache_write_long_tokens), 0) AS input_tokens,
            coalesce(sum(a.output_tokens + a.reasoning_tokens), 0) AS output_tokens,
            coalesce(sum(a.cost_nano), 0) AS cost,
            sum(CASE WHEN a.estimated = 1 THEN a.cost_nano ELSE 0 END) AS estimated,
            sum(CASE WHEN a.state <> 'running' AND a.cost_nano IS NULL THEN 1 ELSE 0 END)
                AS unknown,
            sum(CASE WHEN a.state = 'running' THEN coalesce(a.reserved_nano, 0) ELSE 0 END)
                AS held,
            max(CASE WHEN a.state <> 'running' THEN 1 ELSE 0 END) AS settled
        FROM {attempts}
        WHERE a.sent_at >= ? AND a.sent_at < ?{only}
        GROUP BY 1, 2
    ), known AS (
        SELECT *, CASE WHEN unknown = 0 AND settled = 1 THEN 1 ELSE 0 END AS is_known FROM by_task
    ), ranked AS (
        SELECT *,
            row_number() OVER (PARTITION BY name, is_known ORDER BY cost) AS place,
            sum(is_known) OVER (PARTITION BY name) AS places
        FROM known
    )
    SELECT name, count(*), sum(calls), sum(input_tokens), sum(output_tokens), sum(cost),
        sum(estimated), sum(unknown), sum(held),
        max(CASE WHEN is_known = 1 AND place = (places * 50 + 99) / 100 THEN cost END),
        max(CASE WHEN is_known = 1 AND place = (places * 95 + 99) / 100 THEN cost END),
        max(CASE WHEN is_known = 1 THEN cost END)
    FROM ranked GROUP BY name ORDER BY {order}
"""

ATTEMPTS: Final = "attempts a JOIN calls c ON c.seq = a.call_seq"
OF_DAY: Final = " JOIN d ON a.sent_at >= d.starts_at AND a.sent_at < d.ends_at"

HOLDS: Final = """
    SELECT a.id, c.id, a.task_id, a.provider, a.model, a.reserved_nano, a.sent_at,
        g.id, g.host, g.place, g.pid, g.pid_started, g.started_at, g.beat_at
    FROM attempts a JOIN calls c ON c.seq = a.call_seq LEFT JOIN gates g ON g.id = c.owner
    WHERE a.state = 'running' ORDER BY a.sent_at
"""


def spending(
    cursor: Cursor,
    *,
    by: Grouping | None,
    since: float,
    until: float,
    days: Sequence[Window],
    kind: CallKind | None,
) -> list[Spending]:
    """Return what was spent, the most first; by day, the first first.

    Args:
        cursor: Where the attempts are.
        by: What it is told apart by; None for all of it together.
        since: The first instant, seconds since 1970.
        until: The first instant that is not in it any more.
        days: Every day between them, needed where it is told by day.
        kind: Calls of this kind only; None for all.
    """
    by_day = by == "day"
    if by_day and not days:
        return []
    sql = SPENDING.format(
        days=f"d (name, starts_at, ends_at) AS (VALUES {', '.join(['(?, ?, ?)'] * len(days))}),"
        if by_day
        else "",
        name="NULL" if by is None else NAMES[by],
        attempts=f"{ATTEMPTS}{OF_DAY if by_day else ''}",
        only="" if kind is None else " AND c.kind = ?",
        order="name" if by_day else "sum(cost) DESC, name NULLS FIRST",
    )
    given = [
        told
        for day in days
        if by_day
        for told in (day.name, micros(day.starts_at), micros(day.ends_at))
    ]
    only = () if kind is None else (kind,)
    rows = cursor.execute(sql, (*given, micros(since), micros(until), *only))
    return [_spending_of(row) for row in rows.fetchall()]


def _spending_of(row: Row) -> Spending:
    return Spending(
        name=row[0], tasks=row[1], calls=row[2], input_tokens=row[3], output_tokens=row[4],
        cost=Money(row[5]), estimated=Money(row[6]), unknown_costs=row[7], held=Money(row[8]),
        p50=maybe_money(row[9]), p95=maybe_money(row[10]), most=maybe_money(row[11]),
    )  # fmt: skip


def spent_since(cursor: Cursor, *, scope: str, instants: Sequence[float]) -> list[Money]:
    """Return what the attempts of a scope have cost since each of some instants."""
    kind, _, name = scope.partition(":")
    sums = ", ".join(
        ["coalesce(sum(CASE WHEN a.sent_at >= ? THEN a.cost_nano END), 0)"] * len(instants)
    )
    sql = f"SELECT {sums} FROM {ATTEMPTS} WHERE a.sent_at >= ?{OF_SCOPE[kind]}"
    given = [*map(micros, instants), micros(min(instants))]
    row = cursor.execute(sql, (*given, name) if name else given).fetchone()
    return [Money(nano) for nano in row]


def first_sent_at(cursor: Cursor) -> float | None:
    """Return when the first attempt left; None where none has."""
    (at,) = cursor.execute("SELECT min(sent_at) FROM attempts").fetchone()
    return None if at is None else at / MICROS


def holds(cursor: Cursor, *, now: float) -> list[Hold]:
    """Return the attempts that run, the oldest first, and whether their gates live."""
    here = find_place()
    return [_hold_of(row, here, now) for row in cursor.execute(HOLDS).fetchall()]


def _hold_of(row: Row, here: str | None, now: float) -> Hold:
    attempt_id, call_id, task_id, provider, model, reserved, sent_at, *gate = row
    owner, beat_at = (None, 0.0) if gate[0] is None else identity_of(tuple(gate))
    return Hold(
        attempt_id=attempt_id,
        call_id=call_id,
        task_id=task_id,
        model=f"{provider}:{model}",
        reserved=maybe_money(reserved),
        sent_at=sent_at / MICROS,
        owner=owner,
        owner_lives=owner is not None and is_alive(owner, beat_at=beat_at, seen_from=here, now=now),
    )

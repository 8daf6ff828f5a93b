"""Alerts: rows that are raised once and resolved once, in the order in which a delivery reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from callgate.store.rows import MICROS, Row, instant, micros
from callgate.store.sql import WITHOUT_END, Cursor
from callgate.store.watched import Alert, Facts

COLUMNS: Final = (
    "id, fingerprint, kind, severity, scope, rule, message, facts, raised_at, resolved_at, change"
)

REFRESH: Final = """
    UPDATE alerts SET severity = ?, message = ?, facts = ?
    WHERE fingerprint = ? AND resolved_at IS NULL
"""

# Writers come one after the other, so that who has read up to a number has missed nothing below it.
RAISE: Final = """
    INSERT INTO alerts (id, fingerprint, kind, severity, scope, rule, message, facts, raised_at,
        change)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM alerts))
"""

RESOLVE: Final = f"""
    UPDATE alerts SET resolved_at = ?, change = (SELECT max(change) + 1 FROM alerts)
    WHERE fingerprint = ? AND resolved_at IS NULL
    RETURNING {COLUMNS}
"""

NEWEST: Final = f"SELECT {COLUMNS} FROM alerts ORDER BY seq DESC LIMIT ?"
NEWEST_OPEN: Final = f"""
    SELECT {COLUMNS} FROM alerts WHERE resolved_at IS NULL ORDER BY seq DESC LIMIT ?
"""
SINCE: Final = f"SELECT {COLUMNS} FROM alerts WHERE change > ? ORDER BY change LIMIT ?"


def raise_all(cursor: Cursor, alerts: Sequence[Alert]) -> list[Alert]:
    """Raise alerts; return those that were not open."""
    return [alert for alert in alerts if _raise(cursor, alert)]


def resolve_all(cursor: Cursor, over: tuple[Sequence[str], float]) -> list[Alert]:
    """Mark what is open of some fingerprints as over; return it."""
    fingerprints, resolved_at = over
    at = micros(resolved_at)
    found = [cursor.execute(RESOLVE, (at, each)).fetchall() for each in fingerprints]
    return [_alert_of(row) for rows in found for row in rows]


def newest(cursor: Cursor, *, limit: int | None, only_open: bool) -> list[Alert]:
    """Return alerts, newest first."""
    sql = NEWEST_OPEN if only_open else NEWEST
    rows = cursor.execute(sql, (WITHOUT_END if limit is None else limit,)).fetchall()
    return [_alert_of(row) for row in rows]


def since(cursor: Cursor, *, change: int, limit: int) -> list[Alert]:
    """Return the alerts that changed after a change, in that order."""
    return [_alert_of(row) for row in cursor.execute(SINCE, (change, limit)).fetchall()]


def _raise(cursor: Cursor, alert: Alert) -> bool:
    facts = msgspec.json.encode(alert.facts).decode()
    refreshed = (alert.severity, alert.message, facts, alert.fingerprint)
    if cursor.execute(REFRESH, refreshed).rowcount:
        return False
    cursor.execute(
        RAISE,
        (alert.id, alert.fingerprint, alert.kind, alert.severity, alert.scope, alert.rule,
         alert.message, facts, micros(alert.raised_at)),
    )  # fmt: skip
    return True


def _alert_of(row: Row) -> Alert:
    return Alert(
        id=row[0], fingerprint=row[1], kind=row[2], severity=row[3], scope=row[4], rule=row[5],
        message=row[6], facts=msgspec.json.decode(row[7], type=Facts), raised_at=row[8] / MICROS,
        resolved_at=instant(row[9]), change=row[10],
    )  # fmt: skip

"""Changes of limits: those of a settings file as a whole, and overrides one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from callgate.money import Money
from callgate.store.limits import Limit
from callgate.store.rows import maybe_micros

WRITE: Final = "INSERT OR REPLACE INTO limits VALUES (?, ?, ?, ?, ?, ?)"
CHANGED: Final = "UPDATE limits_state SET changes = changes + 1"


def load(cursor: sqlite3.Cursor, loaded: tuple[Sequence[Limit], int]) -> bool:
    """Let a settings file's limits hold; False if those of a newer file do already."""
    limits, revision = loaded
    (known,) = cursor.execute("SELECT revision FROM limits_state").fetchone()
    if revision < known:
        return False
    rows = [_row(limit) for limit in limits]
    before = cursor.execute("SELECT * FROM limits WHERE source = 'file'").fetchall()
    if sorted(before) != sorted(rows):
        cursor.execute("DELETE FROM limits WHERE source = 'file'")
        cursor.executemany(WRITE, rows)
        cursor.execute(CHANGED)
    cursor.execute("UPDATE limits_state SET revision = ?", (revision,))
    return True


def override(cursor: sqlite3.Cursor, limit: Limit) -> None:
    """Let an override hold."""
    cursor.execute(WRITE, _row(limit))
    cursor.execute(CHANGED)


def lift(cursor: sqlite3.Cursor, named: tuple[str, str]) -> bool:
    """Take an override back; False if there is none."""
    sql = "DELETE FROM limits WHERE scope = ? AND name = ? AND source = 'override'"
    if not cursor.execute(sql, named).rowcount:
        return False
    cursor.execute(CHANGED)
    return True


def raise_budget(cursor: sqlite3.Cursor, raised: tuple[str, Money | None]) -> bool:
    """Set a task's own budget; False for an unknown task."""
    task_id, budget = raised
    cursor.execute(
        "UPDATE ledger SET cap_nano = ? WHERE scope = ? AND \"window\" = 'all'",
        (None if budget is None else budget.nano, f"task:{task_id}"),
    )
    return cursor.rowcount == 1


def _row(limit: Limit) -> tuple[str, str, str, int, int, int | None]:
    until = maybe_micros(limit.until)
    return (limit.scope, limit.name, limit.source, limit.value, int(limit.waits), until)

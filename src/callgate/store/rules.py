"""Changes of limits: those of a settings file as a whole, and overrides one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from callgate.money import Money
from callgate.store.limits import Limit, Limits
from callgate.store.rates import write_again
from callgate.store.rows import limit_of, maybe_micros
from callgate.store.rulebook import LIMITS, change
from callgate.store.sql import Cursor

WRITE: Final = """
    INSERT INTO limits VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (scope, name, source) DO UPDATE SET value = excluded.value,
        waits = excluded.waits, until = excluded.until
"""
LIFT: Final = "DELETE FROM limits WHERE scope = ? AND name = ? AND source = 'override'"


def load(cursor: Cursor, loaded: tuple[Sequence[Limit], int]) -> bool:
    """Let a settings file's limits hold; False if those of a newer file do already."""
    limits, revision = loaded
    (known,) = cursor.execute("SELECT revision FROM limits_state").fetchone()
    if revision < known:
        return False
    cursor.execute("UPDATE limits_state SET revision = ?", (revision,))
    rows = set(map(_row, limits))
    if rows != set(cursor.execute(f"{LIMITS} WHERE source = 'file'").fetchall()):
        before = _read(cursor)
        cursor.execute("DELETE FROM limits WHERE source = 'file'")
        cursor.executemany(WRITE, rows)
        _note_change(cursor, before)
    return True


def override(cursor: Cursor, limit: Limit) -> None:
    """Let an override hold."""
    before = _read(cursor)
    cursor.execute(WRITE, _row(limit))
    _note_change(cursor, before)


def lift(cursor: Cursor, named: tuple[str, str]) -> bool:
    """Take an override back; False if there is none."""
    before = _read(cursor)
    if not cursor.execute(LIFT, named).rowcount:
        return False
    _note_change(cursor, before)
    return True


def raise_budget(cursor: Cursor, raised: tuple[str, Money | None]) -> bool:
    """Set a task's own budget; False for an unknown task."""
    task_id, budget = raised
    cursor.execute(
        "UPDATE ledger SET cap_nano = ? WHERE scope = ? AND \"window\" = 'all'",
        (None if budget is None else budget.nano, f"task:{task_id}"),
    )
    return cursor.rowcount == 1


def _read(cursor: Cursor) -> Limits:
    return Limits(map(limit_of, cursor.execute(LIMITS).fetchall()))


def _note_change(cursor: Cursor, before: Limits) -> None:
    """Have every gate read the limits again, and have as many ticks as they look back on."""
    change(cursor)
    for kind, keep in _read(cursor).ticks.items():
        if keep > before.ticks.get(kind, -1):
            write_again(cursor, kind, keep=keep)


def _row(limit: Limit) -> tuple[Any, ...]:
    until = maybe_micros(limit.until)
    return (limit.scope, limit.name, limit.source, limit.value, int(limit.waits), until)

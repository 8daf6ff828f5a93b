"""Who is blocked, as rows: written, lifted, tried again by one of all gates, and read."""

from __future__ import annotations

from typing import Any, Final

from callgate.store.blocks import Block, Probe
from callgate.store.rows import MICROS, instant, maybe_micros, micros
from callgate.store.sql import Cursor

COLUMNS: Final = "subject, kind, reason, times, since, until"

READ: Final = f"SELECT {COLUMNS} FROM blocks"

# Of two gates that find the same at once the longer block counts.
WRITE: Final = f"""
    INSERT INTO blocks ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (subject) DO UPDATE SET kind = excluded.kind, reason = excluded.reason,
        times = excluded.times, since = excluded.since, until = excluded.until,
        probed_until = NULL
    WHERE blocks.until IS NOT NULL AND (excluded.until IS NULL OR excluded.until > blocks.until)
"""

LIFT: Final = "DELETE FROM blocks WHERE subject = ?"

PROBE: Final = """
    UPDATE blocks SET probed_until = ?
    WHERE subject = ? AND until <= ? AND (probed_until IS NULL OR probed_until <= ?)
"""

RELEASE: Final = "UPDATE blocks SET probed_until = NULL WHERE subject = ?"


def block(cursor: Cursor, block: Block) -> None:
    """Let a block hold, unless a longer one does."""
    cursor.execute(
        WRITE,
        (block.subject, block.kind, block.reason, block.times, micros(block.since),
         maybe_micros(block.until)),
    )  # fmt: skip


def unblock(cursor: Cursor, subject: str) -> bool:
    """Lift a block; False if there is none."""
    return cursor.execute(LIFT, (subject,)).rowcount == 1


def claim_probe(cursor: Cursor, probe: Probe) -> bool:
    """Be the one who tries; False if the block still holds, is gone, or somebody else tries."""
    now = micros(probe.now)
    given = (micros(probe.until), probe.subject, now, now)
    return cursor.execute(PROBE, given).rowcount == 1


def release_probe(cursor: Cursor, subject: str) -> None:
    """Let somebody else try: who was to has found out nothing."""
    cursor.execute(RELEASE, (subject,))


def blocks(cursor: Cursor) -> list[Block]:
    """Return every block, by subject."""
    return [_block_of(row) for row in cursor.execute(f"{READ} ORDER BY subject").fetchall()]


def _block_of(row: Any) -> Block:
    subject, kind, reason, times, since, until = row
    return Block(
        subject=subject, kind=kind, reason=reason, times=times, since=since / MICROS,
        until=instant(until),
    )  # fmt: skip

"""Who is blocked, as rows: written, lifted, tried again by one of all gates, and read.

A block and the alert that tells of it are written, and lifted, in one transaction.
"""

from __future__ import annotations

from typing import Any, Final

from callgate.call import new_id
from callgate.clock import rfc3339
from callgate.store import alerts
from callgate.store.blocks import Block, Probe
from callgate.store.rows import MICROS, instant, maybe_micros, micros
from callgate.store.sql import Cursor
from callgate.store.watched import Alert, AlertKind

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

LIFT: Final = f"DELETE FROM blocks WHERE subject = ? RETURNING {COLUMNS}"

PROBE: Final = """
    UPDATE blocks SET probed_until = ?
    WHERE subject = ? AND until <= ? AND (probed_until IS NULL OR probed_until <= ?)
"""

RELEASE: Final = "UPDATE blocks SET probed_until = NULL WHERE subject = ?"

WARNINGS: Final = frozenset({"model", "missing"})
"""What leaves a provider's other models alone."""


def block(cursor: Cursor, block: Block) -> None:
    """Let a block hold, and tell of it, unless a longer one does."""
    before = cursor.execute(f"{READ} WHERE subject = ?", (block.subject,)).fetchone()
    cursor.execute(
        WRITE,
        (block.subject, block.kind, block.reason, block.times, micros(block.since),
         maybe_micros(block.until)),
    )  # fmt: skip
    if cursor.rowcount != 1:
        return
    if before is not None and (was := _block_of(before)).kind != block.kind:
        alerts.resolve_all(cursor, ((was.fingerprint,), block.since))
    # Whoever closes something by hand knows it.
    if block.kind != "operator":
        alerts.raise_all(cursor, [_alert(block, block.kind)])


def unblock(cursor: Cursor, lifted: tuple[str, float]) -> bool:
    """Lift a block and resolve its alert; False if there is none."""
    subject, now = lifted
    rows = cursor.execute(LIFT, (subject,)).fetchall()
    alerts.resolve_all(cursor, ([_block_of(row).fingerprint for row in rows], now))
    return bool(rows)


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


def _alert(block: Block, kind: AlertKind) -> Alert:
    name = block.subject.partition("#")[0]
    again = "" if block.until is None else f"it is tried again at {rfc3339(block.until)}, or "
    return Alert(
        id=new_id("alert"),
        fingerprint=block.fingerprint,
        kind=kind,
        severity="warning" if kind in WARNINGS else "critical",
        scope=f"model:{name}" if ":" in name else f"provider:{name}",
        rule=f"providers.{name.partition(':')[0]}",
        message=f"{name} is not asked since {rfc3339(block.since)} ({block.reason}); "
        f"{again}{block.fix}",
        facts={
            "subject": block.subject,
            "times": block.times,
            "since": rfc3339(block.since),
            "until": None if block.until is None else rfc3339(block.until),
        },
        raised_at=block.since,
    )

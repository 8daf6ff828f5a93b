"""What a dead gate has left behind: its open attempts are booked as what they may have cost."""

from __future__ import annotations

import sqlite3

from callgate.store.identity import GateIdentity, is_dead
from callgate.store.operations import BOOK, TASK_WINDOW
from callgate.store.rows import micros

SILENT_SECONDS = 30.0
"""A gate whose last heartbeat is older than this is taken for dead, wherever it ran."""

BEAT_EVERY_SECONDS = 5.0
REAP_EVERY_SECONDS = 10.0

GATE_DIED = "gate_died"


def register(connection: sqlite3.Connection, gate: GateIdentity, now: float) -> None:
    """Write that a gate runs."""
    connection.execute(
        "INSERT INTO gates (id, host, boot, pid, pid_started, started_at, beat_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            gate.id, gate.host, gate.boot, gate.pid, gate.pid_started, micros(gate.started_at),
            micros(now),
        ),
    )  # fmt: skip


def beat(connection: sqlite3.Connection, gate: GateIdentity, now: float) -> None:
    """Write that a gate still runs; one that was taken for dead comes back."""
    changed = connection.execute(
        "UPDATE gates SET beat_at = ? WHERE id = ?", (micros(now), gate.id)
    )
    if changed.rowcount == 0:
        register(connection, gate, now)


def reap(connection: sqlite3.Connection, now: float) -> int:
    """Book the open attempts of every gate that is dead; return how many there were.

    Unknown is never zero: what may have reached a provider costs its reservation, as an estimate,
    until somebody knows better.
    """
    rows = connection.execute("SELECT id, host, boot, pid, pid_started, beat_at FROM gates")
    silent_since = micros(now - SILENT_SECONDS)
    dead = [
        row[0]
        for row in rows.fetchall()
        if row[5] < silent_since or is_dead(row[1], row[2], pid=row[3], pid_started=row[4])
    ]
    return sum(_bury(connection, gate_id, now) for gate_id in dead)


def _bury(connection: sqlite3.Connection, gate_id: str, now: float) -> int:
    rows = connection.execute(
        "SELECT id, call_id, task_id, reserved_nano FROM attempts"
        " WHERE owner = ? AND state = 'running'",
        (gate_id,),
    ).fetchall()
    for attempt_id, call_id, task_id, reserved in rows:
        connection.execute(
            "UPDATE attempts SET state = 'unknown', cost_nano = ?, estimated = ?, ended_at = ?,"
            " error = 'the gate died before the attempt was settled' WHERE id = ?",
            (reserved, reserved is not None, micros(now), attempt_id),
        )
        if reserved:
            connection.execute(BOOK, (reserved, reserved, f"task:{task_id}", TASK_WINDOW))
        connection.execute(
            "UPDATE calls SET state = 'failed', status = 500, code = ?, ended_at = ?,"
            " message = 'the gate died while this call ran' WHERE id = ? AND state = 'running'",
            (GATE_DIED, micros(now), call_id),
        )
    connection.execute("DELETE FROM gates WHERE id = ?", (gate_id,))
    return len(rows)

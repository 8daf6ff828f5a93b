"""The heartbeat of this gate, and the recovery of what dead gates left behind."""

from __future__ import annotations

import sqlite3
from typing import Final

from callgate.clock import Clock
from callgate.store.owners import GateIdentity, is_alive
from callgate.store.rows import Row, maybe_micros, micros
from callgate.store.writes import abandon

BEAT_SECONDS: Final = 5.0

BEAT = """
    INSERT INTO gates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, url = excluded.url,
        reloaded_at = excluded.reloaded_at, reload_error = excluded.reload_error
"""

OTHERS = "SELECT id, host, place, pid, pid_started, started_at, beat_at FROM gates WHERE id <> ?"

FORGET = "DELETE FROM gates WHERE id = ?"


class Heartbeat:
    """Says that this gate lives, and books what dead ones held.

    Its methods are operations of the writer.

    Args:
        gate: Who we are.
        clock: Wall time for what is written, monotonic time for when it is due.
    """

    def __init__(self, gate: GateIdentity, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._url: str | None = None
        self._reloaded: tuple[int | None, str | None] = (None, None)
        self._beat_due = clock.monotonic()

    def due_seconds(self) -> float:
        """Return how long until the next beat."""
        return self._beat_due - self._clock.monotonic()

    def __call__(self, cursor: sqlite3.Cursor, _: None = None, /) -> None:
        """Beat, and look for dead gates."""
        # Before it is written: if that fails, the next beat is the next try.
        self._beat_due = self._clock.monotonic() + BEAT_SECONDS
        self.beat(cursor)
        self.reap(cursor)

    def beat(self, cursor: sqlite3.Cursor, _: None = None, /) -> None:
        """Write this gate's row; it is there again if somebody took us for dead."""
        gate = self._gate
        cursor.execute(
            BEAT,
            (gate.id, gate.host, gate.place, gate.pid, gate.pid_started, self._url,
             micros(gate.started_at), micros(self._clock.now()), *self._reloaded),
        )  # fmt: skip

    def reap(self, cursor: sqlite3.Cursor, _: None = None, /) -> None:
        """Take dead gates off the list, and book what gates held that are not on it."""
        now = self._clock.now()
        for row in cursor.execute(OTHERS, (self._gate.id,)).fetchall():
            gate, beat_at = identity_of(row)
            if not is_alive(gate, beat_at=beat_at, seen_from=self._gate.place, now=now):
                cursor.execute(FORGET, (gate.id,))
        abandon(cursor, now)

    def set_url(self, cursor: sqlite3.Cursor, url: str, /) -> None:
        """Note where this gate can be reached."""
        self._url = url
        self.beat(cursor)

    def set_reload(self, cursor: sqlite3.Cursor, reload: tuple[float, str | None], /) -> None:
        """Note how the last reload went."""
        reloaded_at, error = reload
        self._reloaded = (maybe_micros(reloaded_at), error)
        self.beat(cursor)

    def retire(self, cursor: sqlite3.Cursor, _: None = None, /) -> None:
        """Take this gate off the list; nobody will settle what it still holds."""
        cursor.execute(FORGET, (self._gate.id,))
        abandon(cursor, self._clock.now())


def identity_of(row: Row) -> tuple[GateIdentity, float]:
    """Return a gate as the columns of OTHERS tell it, and its last heartbeat."""
    id, host, place, pid, pid_started, started_at, beat_at = row
    gate = GateIdentity(
        id=id,
        host=host,
        place=place,
        pid=pid,
        pid_started=pid_started,
        started_at=started_at / 1_000_000,
    )
    return gate, beat_at / 1_000_000

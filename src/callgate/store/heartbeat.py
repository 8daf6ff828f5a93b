"""The heartbeat of this gate, and what time does: gates die, tasks and windows end."""

from __future__ import annotations

from math import inf
from typing import Final

from callgate.clock import Clock
from callgate.store import acted, meters, rates, tokens
from callgate.store.owners import GateIdentity, is_alive
from callgate.store.rows import Row, maybe_micros, micros
from callgate.store.sql import Cursor
from callgate.store.tasks import end_by_time
from callgate.store.writes import abandon

BEAT_SECONDS: Final = 5.0

IDLE_SECONDS: Final = 300.0
"""How long a task may be without a call before it ends, unless told otherwise."""

KEPT_SECONDS: Final = 3600.0
"""How long a window is kept after its end: a clock that is set back finds it again."""

SCOPES_A_BEAT: Final = 64
"""Scopes whose ticks are looked at with each beat: ten thousand in a quarter of an hour."""

BEAT = """
    INSERT INTO gates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, url = excluded.url,
        reloaded_at = excluded.reloaded_at, reload_error = excluded.reload_error
"""

OTHERS = "SELECT id, host, place, pid, pid_started, started_at, beat_at FROM gates WHERE id <> ?"

FORGET = "DELETE FROM gates WHERE id = ?"


class Heartbeat:
    """Says that this gate lives, books what dead ones held, and ends what time ends.

    Its methods are operations of the writer.

    Args:
        gate: Who we are.
        clock: Wall time for what is written, monotonic time for when it is due.
        idle_seconds: How long a task may be without a call before it ends.
    """

    def __init__(
        self, gate: GateIdentity, clock: Clock, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._latest = inf
        """The latest instant that a beat has seen; at the first one nobody knows."""
        self._tidied = ""
        """The scope whose ticks were looked at last."""
        self._url: str | None = None
        self._reloaded: tuple[int | None, str | None] = (None, None)
        self._beat_due = clock.monotonic()

    def due_seconds(self) -> float:
        """Return how long until the next beat."""
        return self._beat_due - self._clock.monotonic()

    def __call__(self, cursor: Cursor, _: None = None, /) -> None:
        """Beat, look for dead gates, and end what time has ended."""
        # Before it is written: if that fails, the next beat is the next try.
        self._beat_due = self._clock.monotonic() + BEAT_SECONDS
        self.beat(cursor)
        self.reap(cursor)
        self._end(cursor, self._clock.now())

    def beat(self, cursor: Cursor, _: None = None, /) -> None:
        """Write this gate's row; it is there again if somebody took us for dead."""
        gate = self._gate
        cursor.execute(
            BEAT,
            (gate.id, gate.host, gate.place, gate.pid, gate.pid_started, self._url,
             micros(gate.started_at), micros(self._clock.now()), *self._reloaded),
        )  # fmt: skip

    def reap(self, cursor: Cursor, _: None = None, /) -> None:
        """Take dead gates off the list, and book what gates held that are not on it."""
        now = self._clock.now()
        for row in cursor.execute(OTHERS, (self._gate.id,)).fetchall():
            gate, beat_at = identity_of(row)
            if not is_alive(gate, beat_at=beat_at, seen_from=self._gate.place, now=now):
                cursor.execute(FORGET, (gate.id,))
        abandon(cursor, now)

    def _end(self, cursor: Cursor, now: float) -> None:
        end_by_time(cursor, now, idle_seconds=self._idle_seconds)
        meters.forget(cursor, now - KEPT_SECONDS)
        tokens.forget(cursor, now - KEPT_SECONDS)
        acted.forget(cursor, now - acted.KEPT_SECONDS)
        if now < self._latest:
            rates.set_back(cursor, now)
            tokens.set_back(cursor, now)
        self._latest = now
        self._tidied = rates.forget_idle(cursor, self._tidied, now, scopes=SCOPES_A_BEAT)

    def set_url(self, cursor: Cursor, url: str, /) -> None:
        """Note where this gate can be reached."""
        self._url = url
        self.beat(cursor)

    def set_reload(self, cursor: Cursor, reload: tuple[float, str | None], /) -> None:
        """Note how the last reload went."""
        reloaded_at, error = reload
        self._reloaded = (maybe_micros(reloaded_at), error)
        self.beat(cursor)

    def retire(self, cursor: Cursor, _: None = None, /) -> None:
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

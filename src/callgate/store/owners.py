"""Who owns a running attempt, and how another process can tell that its owner is dead."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final, Self

import msgspec

from callgate.call import new_id

SILENT_SECONDS: Final = 20.0
"""A gate whose last beat is older than this is taken for dead, where its process cannot be seen.
With the time until somebody looks, what it held is booked within 30 seconds."""

PROC: Final = Path("/proc")


class GateIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """One gate process, recognisable by every other process that opens the same store."""

    id: str
    host: str
    """The machine's name, for people."""
    place: str | None
    """Boot and pid namespace: two processes of one place see each other's pids. None where the
    system does not tell; then only the heartbeat counts."""
    pid: int
    pid_started: str | None
    """When the process started, in the kernel's ticks: a pid is used again, the pair is not."""
    started_at: float
    """Seconds since 1970."""

    @classmethod
    def of_this_process(cls, *, started_at: float) -> Self:
        """Return a new identity for this process.

        Args:
            started_at: Seconds since 1970.
        """
        pid = os.getpid()
        return cls(
            id=new_id("gate"),
            host=platform.node(),
            place=find_place(),
            pid=pid,
            pid_started=process_started(pid),
            started_at=started_at,
        )


def find_place(proc: Path = PROC) -> str | None:
    """Return what two processes share that can see each other's pids; None if nobody tells.

    Args:
        proc: Where the kernel shows processes.
    """
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(proc / 'self/ns/pid').readlink()}"
    except OSError:
        return None


def process_started(pid: int, *, proc: Path = PROC) -> str | None:
    """Return when a process started; None if it is gone, or dead and not yet waited for.

    Source: proc_pid_stat(5): state is the field after the name in brackets, starttime the 22nd.
    """
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def is_alive(gate: GateIdentity, *, beat_at: float, seen_from: str | None, now: float) -> bool:
    """Return whether a gate still runs, as far as can be told from here.

    Args:
        gate: Whom to look at.
        beat_at: When it wrote its last heartbeat, seconds since 1970.
        seen_from: The place of the process that asks.
        now: Seconds since 1970.
    """
    if gate.place is not None and gate.place == seen_from:
        runs = process_started(gate.pid) == gate.pid_started
        # One of this very process may be left over from an event loop that has ended.
        if not runs or gate.pid != os.getpid():
            return runs
    return abs(now - beat_at) <= SILENT_SECONDS

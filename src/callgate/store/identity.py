"""Who owns an attempt: one gate process, told apart from every other, also after a restart."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from callgate.call import new_id

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Differs after every start of the machine (Linux), so a process id of before it means nothing."""

PID_NAMESPACE = Path("/proc/self/ns/pid")

STARTED_FIELD = 19
"""The start time among the fields of ``/proc/PID/stat`` that follow the command's name.

Source: proc(5): ``starttime`` is field 22, the state after the name is field 3.
"""


class GateIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """One gate process."""

    id: str
    host: str
    boot: str
    """The machine's boot; empty where the system tells none."""
    pid: int
    pid_started: str
    """When the process started, in the kernel's own count; empty where it tells none."""
    started_at: float
    """Seconds since 1970."""

    @classmethod
    def of_this_process(cls, *, started_at: float) -> GateIdentity:
        """Return a new identity for the running process."""
        pid = os.getpid()
        return cls(
            id=new_id("gate"),
            host=os.uname().nodename,
            boot=boot_id(),
            pid=pid,
            pid_started=process_started(pid),
            started_at=started_at,
        )


def boot_id() -> str:
    """Return the machine's boot and process namespace, or nothing where the system tells none.

    A process id means something in both only: two containers of one machine may each have a 7.
    """
    try:
        return f"{BOOT_ID.read_text(encoding='ascii').strip()} {PID_NAMESPACE.readlink()}"
    except OSError:
        return ""


def process_started(pid: int) -> str:
    """Return when a process started, in the kernel's count; nothing if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The command's name may hold spaces and brackets; the fields after the last one are plain.
    return stat.rpartition(")")[2].split()[STARTED_FIELD]


def is_dead(host: str, boot: str, *, pid: int, pid_started: str) -> bool:
    """Whether a gate is surely dead: it ran on this machine, and its process is gone.

    False where nobody here can tell; then its heartbeat decides.
    """
    if host != os.uname().nodename or not boot:
        return False
    return boot != boot_id() or process_started(pid) != pid_started

"""CPU and memory of another process and its children, as the kernel counts them (Linux).

Source: proc_pid_stat(5), proc_pid_statm(5) and proc_tid_children(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

USER, KERNEL = 11, 12
"""Where the fields stand that follow the command's name."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children so far, in user and kernel mode."""
    return sum(map(_own_cpu_seconds, _family(pid)))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    return sum(int(_text(each, "statm").split()[1]) * PAGE_BYTES for each in _family(pid))


def _own_cpu_seconds(pid: int) -> float:
    fields = _text(pid, "stat").rpartition(")")[2].split()
    return (int(fields[USER]) + int(fields[KERNEL])) / TICKS_PER_SECOND


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in (PROC / str(pid) / "task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            yield from _family(int(child))


def _text(pid: int, name: str) -> str:
    return (PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")

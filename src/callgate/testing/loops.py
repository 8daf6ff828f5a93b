"""An event loop whose time a test need not wait for."""

from __future__ import annotations

import asyncio
import selectors
from typing import Final

GRACE_SECONDS: Final = 0.02
"""How long, in real time, nothing must happen before the next timer is due; what goes over loopback
is there much sooner."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time stands while anything happens, and moves to the next timer when nothing does.

    Sockets are real: a client and a server that run in it wait for minutes in no time, and each wait
    has exactly the length that its timer has.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        """Return seconds since the loop was made, of its own time."""
        return self._now

    def skip(self, seconds: float) -> None:
        """Move its time."""
        self._now += seconds


class _Skipping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait a moment for what is real, and else skip to the next timer."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(min(timeout, GRACE_SECONDS))
        if not found:
            self._loop.skip(timeout)
        return found

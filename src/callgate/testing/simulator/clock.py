"""A clock for a simulator in another process: it stands until somebody moves it over HTTP."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Final, Literal

from callgate.clock import Clock, SystemClock
from callgate.testing.clocks import START_OF_2026, FakeClock, Turn

TURNS_A_STEP: Final = 16
"""How often every other task may run before time moves on to the next sleeper."""

Mode = Literal["real", "virtual", "instant"]


class SteppedClock:
    """A :class:`callgate.clock.Clock` that stands still; who sleeps wakes when it has moved enough.

    Args:
        start: The first instant, in seconds since 1970.
    """

    def __init__(self, start: float = START_OF_2026) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def now(self) -> float:
        """Return the instant as seconds since 1970 (UTC)."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self._passed

    @property
    def sleepers(self) -> int:
        """How many tasks wait for time to pass."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float, /) -> None:
        """Wait until the clock has been moved on by ``seconds``."""
        if seconds <= 0:
            await Turn()
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass, and wake who sleeps, each at its moment and in the order of moments.

        Args:
            seconds: How much time passes; at least 0.
        """
        end = self._passed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._passed, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            for _ in range(TURNS_A_STEP):
                await Turn()
        self._passed = end


CLOCKS: Final[dict[Mode, Callable[[], Clock]]] = {
    "real": SystemClock,
    "virtual": SteppedClock,
    "instant": FakeClock,
}


async def advance(clock: Clock, seconds: float) -> bool:
    """Move a clock that can be moved; say whether it could."""
    if isinstance(clock, SteppedClock):
        await clock.advance(seconds)
        return True
    if isinstance(clock, FakeClock):
        clock.advance(seconds)
        return True
    return False

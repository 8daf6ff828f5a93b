"""Slows down what a server pours out, so that it harms only itself."""

from __future__ import annotations

from callgate.clock import Clock


class Valve:
    """Lets so much through in any second, and makes the rest wait for the next.

    Args:
        clock: What time it is.
        per_second: How much.
    """

    def __init__(self, clock: Clock, per_second: int) -> None:
        self._clock = clock
        self._per_second = per_second
        self._began_at = clock.monotonic()
        self._passed = 0

    async def let_through(self, amount: int) -> None:
        """Wait until so much more may come."""
        self._passed += amount
        if self._passed <= self._per_second:
            return
        left = self._began_at + 1.0 - self._clock.monotonic()
        if left > 0:
            await self._clock.sleep(left)
        self._began_at = self._clock.monotonic()
        self._passed = 0

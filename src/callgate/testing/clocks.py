"""A clock that a test moves."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

START_OF_2026: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z in seconds since 1970: where a virtual clock starts unless told."""


class Turn:
    """Awaited, it lets every other ready task run once and comes back."""

    __slots__ = ()

    def __await__(self) -> Generator[None]:
        """Give the event loop one turn."""
        yield


class FakeClock:
    """A :class:`callgate.clock.Clock` that stands still until it is moved.

    Waiting moves it, at once and without waiting, so that a test of timeouts and backoff takes
    no time and finds every wait in ``waits``.

    Args:
        start: The first instant, in seconds since 1970.

    Attributes:
        waits: The lengths of all sleeps so far in seconds, in their order.
    """

    def __init__(self, start: float = START_OF_2026) -> None:
        self._now = start
        self._monotonic = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        """Return the instant as seconds since 1970 (UTC)."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since this clock was made; ``step`` does not move them."""
        return self._monotonic

    async def sleep(self, seconds: float, /) -> None:
        """Move on by ``seconds``, note the wait, and let every other task run once."""
        self.waits.append(seconds)
        self.advance(max(0.0, seconds))
        await Turn()

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: ``seconds`` is negative; time that passes does not run backwards.
        """
        if seconds < 0:
            msg = f"time cannot pass by {seconds} seconds; step() sets the wall clock back"
            raise ValueError(msg)
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does; no time passes."""
        self._now += seconds

"""The database's clock: gates on machines whose clocks differ agree on what time it is."""

from __future__ import annotations

from callgate.clock import Clock
from callgate.store.heartbeat import Heartbeat
from callgate.store.sql import Cursor

READ: str = "SELECT extract(epoch FROM clock_timestamp())::float8"


class ServerClock:
    """The machine's clock, corrected by how far it is from the database's.

    Args:
        clock: The machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_seconds = 0.0

    def now(self) -> float:
        """Return the instant as the database tells it."""
        return self._clock.now() + self._ahead_seconds

    def monotonic(self) -> float:
        """Return seconds that never step."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Wait for ``seconds``."""
        await self._clock.sleep(seconds)

    def set(self, cursor: Cursor) -> None:
        """Ask the database; half of the time that the answer takes is how wrong this may be."""
        asked = self._clock.now()
        (there,) = cursor.execute(READ).fetchone()
        self._ahead_seconds = there - (asked + self._clock.now()) / 2


class ServerHeartbeat(Heartbeat):
    """A heartbeat that sets the clock before it tells the time."""

    def __call__(self, cursor: Cursor, _: None = None, /) -> None:
        """Set the clock, beat, and look for dead gates."""
        if isinstance(self._clock, ServerClock):
            self._clock.set(cursor)
        super().__call__(cursor)

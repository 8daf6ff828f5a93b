"""Time as an argument, so that a test moves it and nothing else reads it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Return the instant as seconds since 1970 (UTC); may step when the machine's clock does."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never step; for lengths of time only."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait for ``seconds``."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return the instant as seconds since 1970 (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never step."""
        return time.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Wait for ``seconds``."""
        await asyncio.sleep(seconds)


@contextmanager
def paused(limit: asyncio.Timeout) -> Generator[None]:
    """Let none of a limit's time pass as long as this is open: while a person thinks."""
    loop = asyncio.get_running_loop()
    ends_at = limit.when()
    if ends_at is None or limit.expired():
        yield
        return
    left = ends_at - loop.time()
    limit.reschedule(None)
    try:
        yield
    finally:
        # What it limits may have ended meanwhile.
        with suppress(RuntimeError):
            limit.reschedule(loop.time() + left)


def rfc3339(instant: float) -> str:
    """Return an instant in seconds since 1970 as RFC 3339 UTC with microseconds."""
    return (
        datetime.fromtimestamp(instant, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )

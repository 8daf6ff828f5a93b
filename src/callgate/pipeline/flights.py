"""Flights: calls that are on their way to a toolset, so that it is not closed under them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class Flights:
    """Counts what is on its way, by the identity of what it goes to."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._landings: dict[int, asyncio.Event] = {}

    @contextmanager
    def to(self, where: int, /) -> Generator[None]:
        """Count one call as long as this is open."""
        self._open[where] = self._open.get(where, 0) + 1
        try:
            yield
        finally:
            self._open[where] -= 1
            if not self._open[where]:
                del self._open[where]
                landing = self._landings.pop(where, None)
                if landing is not None:
                    landing.set()

    async def landed(self, where: int, /) -> None:
        """Return once nothing is on its way there any more."""
        if where in self._open:
            await self._landings.setdefault(where, asyncio.Event()).wait()

"""Settlements that could not be written when their attempt ended: they are tried until they are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from callgate.clock import Clock
from callgate.errors import StoreDown
from callgate.store import Settlement, Store

TRY_AGAIN_SECONDS: Final = 1.0
"""How long a settlement waits for a store that is down before it tries again."""


class LateSettlements:
    """What has ended and is not booked yet; its money stays held meanwhile.

    Args:
        store: Where to.
        clock: What waits between two tries.
    """

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[asyncio.Task[None], Settlement] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def add(self, settlement: Settlement, /, *, wait_seconds: float = TRY_AGAIN_SECONDS) -> None:
        """Write a settlement as soon as the store takes it.

        Args:
            settlement: What to book.
            wait_seconds: How long to wait before the first try.
        """
        trying = asyncio.get_running_loop().create_task(self._try(settlement, wait_seconds))
        self._waiting[trying] = settlement
        trying.add_done_callback(self._waiting.pop)

    async def close(self) -> None:
        """Try each a last time; what fails is booked at its reservation when its owner is gone."""
        waiting = dict(self._waiting)
        for trying in waiting:
            trying.cancel()
        for settlement in waiting.values():
            with suppress(StoreDown):
                await self._store.settle(settlement)

    async def _try(self, settlement: Settlement, wait_seconds: float) -> None:
        while True:
            await self._clock.sleep(wait_seconds)
            with suppress(StoreDown):
                return await self._store.settle(settlement)
            wait_seconds = TRY_AGAIN_SECONDS

"""Outcomes that could not be written when they came: they are tried until they are."""

from __future__ import annotations

import asyncio
from asyncio import Future
from contextlib import suppress
from typing import Any, Final

from callgate.clock import Clock
from callgate.errors import StoreDown
from callgate.store import CallEnd, Settlement, Store

TRY_AGAIN_SECONDS: Final = 1.0
"""How long an outcome waits for a store that is down before it is tried again."""

Outcome = Settlement | CallEnd


class LateOutcomes:
    """What has ended and is not written yet; the money of an attempt stays held meanwhile.

    Args:
        store: Where to.
        clock: What waits between two tries.
    """

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[asyncio.Task[None], Outcome] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def add(self, outcome: Outcome, /, *, wait_seconds: float = TRY_AGAIN_SECONDS) -> None:
        """Write an outcome as soon as the store takes it.

        Args:
            outcome: How an attempt or a call ended.
            wait_seconds: How long to wait before the first try.
        """
        trying = asyncio.get_running_loop().create_task(self._try(outcome, wait_seconds))
        self._waiting[trying] = outcome
        trying.add_done_callback(self._waiting.pop)

    async def close(self) -> None:
        """Try all a last time; what fails is booked at its reservation when its owner is gone."""
        waiting = dict(self._waiting)
        for trying in waiting:
            trying.cancel()
        for written in [self._write(outcome) for outcome in waiting.values()]:
            with suppress(StoreDown):
                await written

    async def _try(self, outcome: Outcome, wait_seconds: float) -> None:
        while True:
            await self._clock.sleep(wait_seconds)
            with suppress(StoreDown):
                await self._write(outcome)
                return
            wait_seconds = TRY_AGAIN_SECONDS

    def _write(self, outcome: Outcome) -> Future[Any]:
        if isinstance(outcome, Settlement):
            return self._store.settle(outcome)
        return self._store.end_call(outcome)

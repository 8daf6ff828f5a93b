"""The numbers of a price are kept before the first attempt leaves that it may be the price of."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from callgate.clock import Clock
from callgate.pricing import Numbered, Price
from callgate.store import NotedPrice
from callgate.store.priced import Priced

_NUMBERED: Final = msgspec.json.Decoder(Numbered)


class NotedPrices:
    """Notes each version once for as long as the process runs.

    Args:
        store: Where they are kept.
        clock: When.
    """

    def __init__(self, store: Priced, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._versions: set[str] = set()

    def __contains__(self, price: Price) -> bool:
        """Whether a price, and those of its service tiers, are kept."""
        return price.version in self._versions

    async def note(self, price: Price) -> None:
        """Keep the numbers of a price, and of its service tiers, which a reply may name.

        Raises:
            StoreDown: They are not kept.
        """
        at = self._clock.now()
        notes = [
            NotedPrice(version=each.version, numbers=numbers_of(each), noted_at=at)
            for each in (price, *price.service_tiers.values())
        ]
        await asyncio.shield(self._store.note_prices(notes))
        self._versions.add(price.version)


def numbers_of(price: Price) -> str:
    """Return the numbers of a price as they are kept."""
    return msgspec.json.encode(Numbered(rates=price.rates, tiers=price.tiers)).decode()


def read_numbers(numbers: str) -> Numbered:
    """Return numbers that were kept."""
    return _NUMBERED.decode(numbers)

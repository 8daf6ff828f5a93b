"""What a store knows of prices: the numbers of each version, and history that is priced anew."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from callgate.call import Candidate, Usage
from callgate.money import Money


class NotedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that a version of a price stands for."""

    version: str
    numbers: str
    """JSON: femto-dollars for a token, by bucket and by threshold of input."""
    noted_at: float


class FirstPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt was first booked at."""

    cost: Money | None
    version: str | None


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is settled, with what its price depends on."""

    seq: int
    """Its place in history; later ones have larger numbers."""
    candidate: Candidate
    sent_at: float
    usage: Usage | None
    service_tier: str | None
    unpriced: str | None
    """What it has used that no price told."""
    cost: Money | None
    estimated: bool
    finished: bool
    """Whether its reply came to its own end, so that its usage is the whole."""
    price_version: str | None


class Repricing(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt costs at another price."""

    seq: int
    was: Money | None
    """What its row must still say; one that says something else by now is left alone."""
    cost: Money
    price_version: str


class Priced(Protocol):
    """The part of a store that prices are written to and read from."""

    def note_prices(self, prices: Sequence[NotedPrice], /) -> Future[None]:
        """Write the numbers of versions; those that are there stay."""
        ...

    def noted_prices(self, versions: Collection[str], /) -> Mapping[str, str]:
        """Return the numbers of versions, as far as they were noted."""
        ...

    def past_attempts(
        self, *, after: int, since: float, until: float, model: str | None, limit: int
    ) -> Sequence[PastAttempt]:
        """Return settled attempts of model calls in their order, as many as are wanted at once.

        Args:
            after: The place in history behind which to begin; 0 for its beginning.
            since: The first instant of sending, seconds since 1970.
            until: The first instant that is not in it any more.
            model: ``provider:model`` or the model alone; None for all.
            limit: How many at most.
        """
        ...

    def reprice(self, repricings: Sequence[Repricing], /) -> Future[int]:
        """Book other costs, in the rows and in every meter and task; return how many were booked.

        A row keeps what it was first booked at. All of them are one transaction.
        """
        ...

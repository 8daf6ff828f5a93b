"""Prices compiled to integers, and how much a request can cost before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from callgate.call import Usage
from callgate.money import Money, from_femto


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What one token costs in each bucket, in whole femto-dollars (10^-15 $)."""

    input_femto: int
    cache_read_femto: int
    cache_write_femto: int
    cache_write_long_femto: int
    output_femto: int
    reasoning_femto: int

    def femto(self, usage: Usage) -> int:
        """Return the exact sum over the buckets, in femto-dollars."""
        return (
            usage.input_tokens * self.input_femto
            + usage.cache_read_tokens * self.cache_read_femto
            + usage.cache_write_tokens * self.cache_write_femto
            + usage.cache_write_long_tokens * self.cache_write_long_femto
            + usage.output_tokens * self.output_femto
            + usage.reasoning_tokens * self.reasoning_femto
        )


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """Rates that hold for the whole request once its input is over a threshold."""

    above_input_tokens: int
    rates: Rates


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """All that a version of a price stands for, as it is kept."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    """By rising threshold; the last one that is passed holds."""

    def rates_for(self, total_input_tokens: int) -> Rates:
        """Return the rates that hold for a request with this much input."""
        rates = self.rates
        for tier in self.tiers:
            if total_input_tokens > tier.above_input_tokens:
                rates = tier.rates
        return rates


class Price(Numbered, frozen=True, kw_only=True):
    """The price of one model, ready to multiply."""

    version: str
    """Where the numbers come from, kept on every row: ``genai-prices 0.2.3 openai/gpt-5.5 3a7a4cc3``.
    Its end is another one for other numbers."""
    service_tier: str | None = None
    """The service tier that these numbers are for; None for the standard one."""
    standard_tiers: frozenset[str] | None = None
    """The service tiers that these numbers hold for, by the provider's names; None: all."""
    service_tiers: Mapping[str, Price] = {}
    """Prices at the service tiers that cost more or less; one in neither has no known price."""
    text_only: bool = False
    """Whether a picture or a sound in a request costs more than these numbers say."""
    short_writes_only: bool = False
    """Whether nobody tells what it costs to write to a cache for the longer lifetime."""
    context_window: int | None = None
    """Tokens that the model takes at the most; None where nobody says."""

    def reachable(self, most_input_tokens: int) -> Iterator[Rates]:
        """Yield all rates that can hold for a request with at most this much input."""
        yield self.rates
        for tier in self.tiers:
            if most_input_tokens > tier.above_input_tokens:
                yield tier.rates

    def at(self, service_tier: object) -> Price | None:
        """Return the price at a service tier; None where nobody tells one.

        Args:
            service_tier: The name that a request or a reply gives; None, and what is no name, is
                the standard one.
        """
        if not isinstance(service_tier, str) or self.standard_tiers is None:
            return self
        return self if service_tier in self.standard_tiers else self.service_tiers.get(service_tier)

    def may_hold(self, service_tier: object) -> tuple[Price, ...]:
        """Return what may hold for a request, this one first; none where its price is unknown.

        Who asks for a service tier may be served at the standard one all the same.

        Source: OpenAI's documentation of ``service_tier`` ("may be different from the value set").
        """
        asked = self.at(service_tier)
        if asked is None:
            return ()
        return (self,) if asked is self else (self, asked)

    def covers(self, usage: Usage) -> bool:
        """Whether these numbers tell all that ``usage`` costs, and not only the least."""
        return not (self.short_writes_only and usage.cache_write_long_tokens)

    def femto(self, usage: Usage) -> int:
        """Return what ``usage`` costs, exactly, in femto-dollars."""
        rates = self.rates_for(usage.total_input_tokens) if self.tiers else self.rates
        return rates.femto(usage)

    def cost(self, usage: Usage) -> Money:
        """Return what ``usage`` costs, rounded up once to a nano-dollar."""
        return from_femto(self.femto(usage))


def served_price(
    prices: tuple[Price, ...], usage: Usage, *, service_tier: str | None
) -> Price | None:
    """Return the price of a reply; None where nobody tells that of how it was served.

    It may be too low where it does not cover the usage.

    Args:
        prices: What may hold for the request, the standard one first.
        usage: What the reply says that it used.
        service_tier: How the reply says that it was served; where it says nothing, the dearest
            of ``prices`` holds.
    """
    if not prices:
        return None
    if service_tier is not None:
        return prices[0].at(service_tier)
    return max(prices, key=lambda price: price.femto(usage))

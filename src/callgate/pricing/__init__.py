"""Prices compiled to integers, and how much a request can cost before it runs."""

from __future__ import annotations

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


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The price of one model, ready to multiply."""

    version: str
    """Where the numbers come from, kept on every row: ``genai-prices 0.2.3 openai/gpt-5.5``."""
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    """By rising threshold; the last one that is passed holds."""
    context_window: int | None = None
    """Tokens that the model takes at the most; None where nobody says."""

    def rates_for(self, total_input_tokens: int) -> Rates:
        """Return the rates that hold for a request with this much input."""
        rates = self.rates
        for tier in self.tiers:
            if total_input_tokens > tier.above_input_tokens:
                rates = tier.rates
        return rates

    def cost(self, usage: Usage) -> Money:
        """Return what ``usage`` costs, rounded up once to a nano-dollar."""
        return from_femto(self.rates_for(usage.total_input_tokens).femto(usage))

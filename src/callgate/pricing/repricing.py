"""History at the prices of now: what an attempt would cost, told from what its row says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from callgate.config.policies import ProviderPolicy
from callgate.pricing import served_price
from callgate.pricing.table import PriceTable
from callgate.store import PastAttempt, Repricing

REPORTED: Final = "reported by "
"""How the version of a price begins that the reply itself told."""

WhyKept = Literal["estimated", "no_usage", "unpriced", "reported", "no_price"]
"""Why a row stays as it is: its cost is an estimate, it was told no usage (what was never served has
none), it used what no price tells, its reply told the cost, or nobody tells a price now."""

KEPT: Final[Mapping[WhyKept, str]] = {
    "estimated": "their usage was never told, so that what was held is booked",
    "no_usage": "they were not served, or cost nothing",
    "unpriced": "they used what no price tells",
    "reported": "their replies told what they cost",
    "no_price": "nobody tells a price for them",
}
"""The same for people."""


class Repricer:
    """Prices past attempts.

    Args:
        prices: The prices of now, each from its day on.
        providers: Whose lists hold for whom.
    """

    def __init__(self, prices: PriceTable, providers: Mapping[str, ProviderPolicy]) -> None:
        self._prices = prices
        self._providers = providers

    def price(self, attempt: PastAttempt) -> Repricing | WhyKept:
        """Return what an attempt costs now, or why its row stays as it is.

        The price is that of the day on which it was sent, at the service tier that its row names.
        """
        if attempt.estimated:
            return "estimated"
        if attempt.unpriced is not None:
            return "unpriced"
        if attempt.usage is None or not attempt.usage.is_credible or not attempt.finished:
            return "no_usage"
        if attempt.price_version is not None and attempt.price_version.startswith(REPORTED):
            return "reported"
        provider = self._providers.get(attempt.candidate.provider)
        source = "none" if provider is None else provider.price_source
        price = self._prices.find(source, attempt.candidate, at=attempt.sent_at)
        prices = () if price is None else (price,)
        told = served_price(prices, attempt.usage, service_tier=attempt.service_tier)
        if told is None or not told.covers(attempt.usage):
            return "no_price"
        return Repricing(
            seq=attempt.seq,
            was=attempt.cost,
            cost=told.cost(attempt.usage),
            price_version=told.version,
        )

"""Terms of models: by the bytes of a request and the prices of tokens, then by the tokens used."""

from __future__ import annotations

import msgspec

from callgate.call import Meter
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.errors import OverBudget, Refused, Unpriced
from callgate.money import Money
from callgate.pipeline.bounding import Bounding, may_hold
from callgate.pipeline.counting import Counting, Proven
from callgate.pipeline.stage import ModelPassage
from callgate.pipeline.terms import Ending, Known, Quote
from callgate.pricing import Price, served_price
from callgate.pricing.lifetimes import with_lifetimes
from callgate.pricing.noted import NotedPrices
from callgate.pricing.snapshot import always_searches
from callgate.pricing.table import PriceTable
from callgate.store import Bill, Grant

MEDIA = "pictures or sounds"
SEARCHES = "a search in every call"


class ModelQuote(Quote, frozen=True, kw_only=True):
    """What an attempt at a model is admitted on."""

    price: Price | None
    """The standard one of the list at that instant."""
    prices: tuple[Price, ...]
    """What may hold for the request, the standard one first; none where nobody tells."""
    proven: Proven
    """The bill by a proven bound, or why there is none."""
    uncounted: str | None = None
    """Why it stands on no count, where one was to stand in for the bound."""


class ModelTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Knows what calls to models cost."""

    settings: Settings
    prices: PriceTable
    noted: NotedPrices
    bounding: Bounding
    counting: Counting
    clock: Clock

    async def quote(self, passage: ModelPassage, /) -> ModelQuote:
        """Return the bill by a proven bound, with its price on record."""
        price = self._price(passage)
        if price is not None and price not in self.noted:
            await self.noted.note(price)
        prices = may_hold(passage, price)
        proven = self.bounding.bill(passage, prices)
        return ModelQuote(
            bill=proven if isinstance(proven, Bill) else None,
            price_version=None if price is None else price.version,
            tokens=self.bounding.expected_tokens(passage),
            price=price,
            prices=prices,
            proven=proven,
        )

    def stand(self, passage: ModelPassage, quote: Quote, /) -> bool:
        """Return whether the candidate costs the same as before."""
        assert isinstance(quote, ModelQuote)
        return self._price(passage) is quote.price

    async def second(
        self, passage: ModelPassage, quote: Quote, refused: OverBudget | Unpriced, /
    ) -> ModelQuote:
        """Return the bill by a count, or by a shorter reply, where the task type takes that."""
        assert isinstance(quote, ModelQuote)
        second = await self.counting.second(passage, quote.prices, quote.proven, refused)
        return msgspec.structs.replace(
            quote, bill=second.bill, changes=second.changes, uncounted=second.uncounted
        )

    def told(self, passage: ModelPassage, quote: Quote, refused: OverBudget, /) -> Refused:
        """Return the refusal with what the agent can do about it."""
        assert isinstance(quote, ModelQuote)
        return self.counting.told(passage, quote.proven, refused, uncounted=quote.uncounted)

    def output_tokens(self, passage: ModelPassage, grant: Grant, /) -> int | None:
        """Return the output limit that the gate sends where the request names none."""
        draft, policy = passage.draft, passage.policy
        assert draft is not None
        assert policy is not None
        if draft.request.output_limit is not None or not draft.format.costs_output:
            return None
        return policy.max_output_tokens if grant.output_tokens is None else grant.output_tokens

    def known(self, passage: ModelPassage, ending: Ending, /) -> Known:
        """Return what an attempt cost by its tokens, or by what the reply says that it did."""
        draft, attempt, quote = passage.draft, passage.attempt, ending.quote
        assert draft is not None
        assert attempt is not None
        assert isinstance(quote, ModelQuote)
        meter = ending.meter(attempt)
        usage, tier = meter.usage, meter.service_tier
        if usage is not None:
            usage = with_lifetimes(usage, body=draft.body, api=draft.format.api)
        if not draft.format.costs_output or ending.is_surely_unbilled:
            return Known(cost=Money(), usage=usage, service_tier=tier)
        if meter.reported is not None and meter.finished:
            by = f"reported by {meter.believed}"
            return Known(cost=meter.reported, usage=usage, price_version=by, service_tier=tier)
        unpriced = _unpriced(passage, quote, meter)
        price = None if usage is None else served_price(quote.prices, usage, service_tier=tier)
        if usage is None or price is None:
            return Known(usage=usage, service_tier=tier, unpriced=unpriced)
        is_whole = meter.finished and usage.is_credible and price.covers(usage)
        if unpriced is not None or not is_whole:
            least = price.cost(usage)
            return Known(least=least, usage=usage, service_tier=tier, unpriced=unpriced)
        return Known(
            cost=price.cost(usage),
            usage=usage,
            price_version=price.version,
            service_tier=tier or price.service_tier,
        )

    def _price(self, passage: ModelPassage) -> Price | None:
        """Return what the candidate costs by the list at this instant."""
        candidate = passage.candidate
        assert candidate is not None
        source = self.settings.providers[candidate.provider].price_source
        return self.prices.find(source, candidate, at=self.clock.now())


def _unpriced(passage: ModelPassage, quote: ModelQuote, meter: Meter) -> str | None:
    """Return what an attempt has used that no price of tokens covers; None where there is nothing."""
    assert passage.draft is not None
    request = passage.draft.request
    used = meter.unpriced or request.charged or _searches(passage)
    if used is not None or (quote.prices and not quote.prices[0].text_only):
        return used
    # The prices of text say nothing of pictures and sounds, and without one nobody does.
    if request.opaque is not None:
        return request.opaque
    return MEDIA if request.image_sizes or meter.has_media else None


def _searches(passage: ModelPassage) -> str | None:
    assert passage.candidate is not None
    return SEARCHES if always_searches(passage.candidate.model) else None

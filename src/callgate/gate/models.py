"""The road of calls to models: the stages that only they need, and what these are made of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from callgate.call import Candidate
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.gate.parts import Parts
from callgate.pipeline import Guard, Stage
from callgate.pipeline.bounding import Bounding
from callgate.pipeline.choosing import LOOK_BACK_SECONDS, Choosing
from callgate.pipeline.counting import Counting
from callgate.pipeline.drafting import Drafting
from callgate.pipeline.escalation import Escalation
from callgate.pipeline.execute import Execute
from callgate.pipeline.explaining import Asking, Explained, Explaining
from callgate.pipeline.model_terms import ModelTerms
from callgate.pipeline.parse import Parse
from callgate.pipeline.permission import Permission, deciding_by
from callgate.pipeline.route import Route
from callgate.pricing.table import PriceTable
from callgate.providers import Provider
from callgate.providers.counting import Counter, find_tokenizers
from callgate.secrets import Secrets
from callgate.store import Block, Performance, Store
from callgate.wire.formats import CLIENT_FORMATS, FORMATS

log = logging.getLogger("callgate")


class ModelRoad(msgspec.Struct, frozen=True, kw_only=True):
    """What the road of calls to models has of its own."""

    settings: Settings
    parts: Parts
    secrets: Secrets
    providers: Mapping[str, Provider]
    prices: PriceTable

    @property
    def stages(self) -> Mapping[type, Stage[Any] | Guard[Any]]:
        """The stages that no other kind of call has."""
        settings, clock = self.settings, self.parts.clock
        return {
            Parse: Parse(formats=CLIENT_FORMATS),
            Permission: Permission(decide=deciding_by(settings), formats=CLIENT_FORMATS),
            Route: Route(
                choosing=Choosing(
                    settings=settings,
                    prices=self.prices,
                    latest=self.parts.performances.latest,
                    clock=clock,
                ),
                drafting=_drafting(settings, self.prices, clock),
                escalation=Escalation(settings=settings),
                earlier=self.parts.earlier,
            ),
        }

    @property
    def terms(self) -> ModelTerms:
        """What they cost."""
        settings, clock = self.settings, self.parts.clock
        bounding = Bounding(settings=settings)
        counter = Counter(
            settings=settings,
            providers=self.providers,
            secrets=self.secrets,
            clock=clock,
            tokenizers=find_tokenizers(settings, self.parts.environ),
        )
        return ModelTerms(
            settings=settings,
            prices=self.prices,
            noted=self.parts.noted,
            bounding=bounding,
            counting=Counting(bounding=bounding, count=counter),
            clock=clock,
        )

    @property
    def is_settled(self) -> Callable[[Candidate], bool]:
        """Tells whether the settings name a model, for every agent that asks for its route."""
        return frozenset(
            each for route in self.settings.models.values() for each in route.use
        ).__contains__

    def keys(self, provider: str, /) -> Iterable[str | None]:
        """Return the references of a provider's keys."""
        return self.settings.providers[provider].keys

    @property
    def end(self) -> Execute:
        """Who asks a provider."""
        return Execute(settings=self.settings, providers=self.providers, clock=self.parts.clock)


async def explaining(
    settings: Settings, store: Store | None, asking: Asking, *, clock: Clock
) -> Explained:
    """Return where a request would go, by what the store knows now.

    Args:
        settings: Routes and providers.
        store: What is known; nothing is where there is no store yet.
        asking: The request and who sends it.
        clock: What time it is.

    Raises:
        Refused: Nowhere.
        StoreDown: The store does not tell.
    """
    prices = prices_of(settings)
    known: Mapping[Candidate, Performance] = {}
    blocks: Sequence[Block] = ()
    if store is not None:
        known = await store.performance(clock.now() - LOOK_BACK_SECONDS)
        blocks = store.blocks()
    return Explaining(
        settings=settings,
        formats=FORMATS,
        choosing=Choosing(settings=settings, prices=prices, latest=lambda: known, clock=clock),
        drafting=_drafting(settings, prices, clock),
        clock=clock,
    ).explain(asking, blocks)


def prices_of(settings: Settings) -> PriceTable:
    """Return what models cost by the settings and their list; the log says where that is old."""
    prices = PriceTable.of(settings)
    if prices.is_older_than_shipped:
        log.warning(
            "the price list %s is older than the one that ships with this Callgate; callgate prices "
            "update takes a newer one, and without the file the one that ships holds",
            settings.price_file,
        )
    return prices


def _drafting(settings: Settings, prices: PriceTable, clock: Clock) -> Drafting:
    return Drafting(settings=settings, formats=FORMATS, prices=prices, clock=clock)

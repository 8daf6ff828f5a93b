"""Models with their prices, as the commands of ``callgate prices`` look at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from callgate.call import Candidate
from callgate.config.policies import ProviderPolicy, Settings
from callgate.errors import Unknown
from callgate.money import Money, from_femto
from callgate.pricing import Price
from callgate.pricing.bound import cache_writes_of, input_bound_tokens, make_bill
from callgate.pricing.snapshot import shipped
from callgate.pricing.table import Dated, PriceTable, prices_of, unpriced_fix
from callgate.task import DEFAULT_TYPE

GLOB: Final = frozenset("*?[")

TYPICAL_REQUEST: Final = b"a" * 10_000
"""Ten kilobytes of text, as an agent sends them after a few steps."""

TYPICAL_PARTS: Final = 8


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a typical request to a model holds."""

    total: Money
    input_tokens: int
    output_tokens: int


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A model, and what it costs."""

    name: str
    """``provider:model``; a list that no provider of the settings has is called after its source."""
    route: str | None = None
    """The name that agents ask for, where the settings have one."""
    price: Price | None
    """None: nobody tells one now."""
    ahead: tuple[Dated, ...] = ()
    """What it will cost, the first first."""
    held: Held | None = None
    fix: str | None = None
    """The lines to add where there is no price."""


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with the prices that hold by them."""

    settings: Settings
    table: PriceTable
    at: float

    @property
    def told(self) -> str:
        """Where the list is from."""
        snapshot = self.table.snapshot
        if snapshot is shipped():
            return f"the list that ships with Callgate ({snapshot.source}, {snapshot.made_on})"
        return f"{self.settings.price_file} ({snapshot.source}, {snapshot.made_on})"

    @property
    def age(self) -> str | None:
        """What to say where the list that ships is the newer one."""
        if not self.table.is_older_than_shipped:
            return None
        return (
            f"that is older than the list which ships with this Callgate ({shipped().made_on}): callgate "
            "prices update takes a newer one, and without the file the one that ships holds"
        )


def open_prices(settings: Settings, *, at: float) -> Prices:
    """Return the prices that hold by some settings at an instant."""
    return Prices(settings=settings, table=PriceTable.of(settings), at=at)


def every_price(prices: Prices, pattern: str | None, provider: str | None) -> list[Priced]:
    """Return the models of the settings, and all of their providers' lists where they match.

    Args:
        prices: What holds.
        pattern: A part of a name, or a glob; None for the models that the settings name.
        provider: Only that one's, by its name or by whose list it is.

    Raises:
        Unknown: There is no such provider, nor such a list.
    """
    found = [
        one for one in _named(prices) if provider is None or one.name.startswith(f"{provider}:")
    ]
    if pattern is not None or provider is not None or not found:
        found += _listed(prices, provider)
    chosen = {one.name: one for one in reversed(found) if _matches(one, pattern)}
    return list(reversed(chosen.values()))


def find_price(prices: Prices, name: str) -> list[Priced]:
    """Return who serves a name: of a route every candidate, of ``provider:model`` itself."""
    route = prices.settings.models.get(name)
    if route is not None:
        return [_of_candidate(prices, each, route=name) for each in route.use]
    provider, colon, model = name.partition(":")
    if colon and provider in prices.settings.providers:
        return [_of_candidate(prices, Candidate(provider=provider, model=model))]
    listed = (
        one for one in _listed(prices, None) if name in {one.name, one.name.partition(":")[2]}
    )
    return list(listed)


def candidates(settings: Settings) -> list[tuple[str | None, Candidate]]:
    """Return every model that the settings name, in their order, with its route."""
    routes = [(route.name, each) for route in settings.models.values() for each in route.use]
    patterns = (model for agent in settings.agents.values() for model in agent.models)
    names = (*settings.prices, *(each for each in patterns if not GLOB & set(each)))
    others = [
        (None, Candidate(provider=provider, model=model))
        for provider, colon, model in (name.partition(":") for name in names)
        if colon and provider in settings.providers
    ]
    known: dict[str, tuple[str | None, Candidate]] = {}
    for route, candidate in (*routes, *others):
        known.setdefault(candidate.name, (route, candidate))
    return list(known.values())


def _named(prices: Prices) -> list[Priced]:
    return [
        _of_candidate(prices, candidate, route=route)
        for route, candidate in candidates(prices.settings)
    ]


def _of_candidate(prices: Prices, candidate: Candidate, *, route: str | None = None) -> Priced:
    policy = prices.settings.providers[candidate.provider]
    dated = prices.table.dated(policy.price_source, candidate)
    priced = _priced(candidate.name, dated, at=prices.at, route=route)
    if priced.price is None:
        fix = unpriced_fix(candidate, api=policy.api)
        return msgspec.structs.replace(priced, fix=fix)
    return msgspec.structs.replace(priced, held=_held(prices.settings, policy, priced.price))


def _priced(name: str, dated: Sequence[Dated], *, at: float, route: str | None = None) -> Priced:
    price = next((each.price for each in dated if at >= each.since_at), None)
    ahead = tuple(each for each in reversed(dated) if each.since_at > at)
    return Priced(name=name, route=route, price=price, ahead=ahead)


def _held(settings: Settings, policy: ProviderPolicy, price: Price) -> Held:
    task = settings.tasks[DEFAULT_TYPE]
    input_tokens = input_bound_tokens(TYPICAL_REQUEST, parts=TYPICAL_PARTS, has_tools=True)
    bill = make_bill(
        price.may_hold(None),
        input_tokens=input_tokens,
        cache_writes=cache_writes_of(TYPICAL_REQUEST, api=policy.api),
        output_tokens=task.max_output_tokens,
        least_output_tokens=task.max_output_tokens,
        choices=1,
    )
    return Held(
        total=from_femto(bill.femto(task.max_output_tokens)),
        input_tokens=input_tokens,
        output_tokens=task.max_output_tokens,
    )


def _listed(prices: Prices, provider: str | None) -> Iterator[Priced]:
    """Yield the models of the lists of providers; those that cannot be priced are left out."""
    snapshot = prices.table.snapshot
    for name, source in _sources(prices, provider):
        for model in snapshot.sources.get(source, ()):
            full = f"{name}:{model.id}"
            dated = prices_of(model, source, listed_in=snapshot.source)
            if full not in prices.settings.prices and any(each.price for each in dated):
                yield _priced(full, dated, at=prices.at)


def _sources(prices: Prices, provider: str | None) -> Iterable[tuple[str, str]]:
    """Return whose lists to look at: providers by their names, and sources."""
    providers = prices.settings.providers
    if provider is None:
        return [(name, policy.price_source) for name, policy in providers.items()]
    if provider in providers:
        return [(provider, providers[provider].price_source)]
    known = prices.table.snapshot.sources
    if provider in known:
        return [(provider, provider)]
    named = ", ".join([*providers, *known])
    msg = f"there is no provider {provider!r} in the settings, nor a price list of that name; known: {named}"
    raise Unknown(msg)


def _matches(one: Priced, pattern: str | None) -> bool:
    if pattern is None:
        return True
    names = [name.lower() for name in (one.name, one.name.partition(":")[2], one.route) if name]
    wanted = pattern.lower()
    if GLOB & set(wanted):
        return any(fnmatchcase(name, wanted) for name in names)
    return any(wanted in name for name in names)

"""Compile a published list of prices: each number becomes whole femto-dollars for a token.

``python -m callgate.pricing.compile`` writes the list that ships, ``callgate prices update`` one of
a user's own. A model that this cannot express keeps its place in the list without numbers, so that
it is refused under a budget rather than priced wrong, and nothing further down is taken for it.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Final, cast

import msgspec

from callgate.clock import SystemClock
from callgate.pricing.listing import (
    Amount,
    Amounts,
    Conditional,
    Constraint,
    ListedModel,
    Listing,
    Tiered,
    Variant,
    read_package,
)
from callgate.pricing.snapshot import (
    GROUPS,
    SHIPPED,
    Numbers,
    Period,
    Snapshot,
    SnapshotModel,
    SnapshotPrice,
    always_searches,
    encode,
)

SOURCES: Final = {
    "openai": "openai", "anthropic": "anthropic", "google": "gemini", "azure": "azure",
    "aws": "bedrock", "mistral": "mistral", "deepseek": "deepseek", "x-ai": "x-ai",
    "groq": "groq", "openrouter": "openrouter", "together": "together", "fireworks": "fireworks",
}  # fmt: skip
"""genai-prices' names for providers, and ours for ``price_source``."""

CURRENCY: Final = "USD"

FEMTO_FOR_A_MILLION: Final = 10**9
"""One dollar for a million tokens is this many femto-dollars for a token: 10^15 / 10^6."""

BUCKETS: Final = (
    "input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok",
    "output_reasoning_mtok",
)  # fmt: skip
"""genai-prices' names in the order of :class:`callgate.pricing.Rates`."""

SEARCHES: Final = frozenset({"web_searches_kcount", "storage_searches_kcount"})
"""Fees for what a request asks for by a tool of the provider's own."""

SERVED: Final = frozenset({"service_tier", "speed"})
"""What genai-prices calls that which a request asks for and a reply tells as its service tier."""

BATCH: Final = "batch"
"""How a reply tells that it was made in a batch. Source: anthropic-python 2.13 (``Usage``)."""

KINDS: Final = ("audio", "image", "video")
"""What a model may take or make besides text."""

UNITS_BESIDES_TOKENS: Final = ("hours", "kpages", "mchars", "kcount", "gpixels")
"""How the names of amounts end that are not for tokens."""


class Unusable(Exception):
    """A price that cannot be expressed exactly."""


class Nonsense(Unusable):
    """A price that cannot be meant."""


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """A price that was left out, and why."""

    source: str
    model: str
    """Its id in the list."""
    why: str
    is_nonsense: bool
    """Whether the list itself must be wrong: a negative price, another currency."""


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A list of prices, and what it left out."""

    snapshot: Snapshot
    flaws: tuple[Flaw, ...]


def compile_listing(listing: Listing, *, made_on: dt.date) -> Compiled:
    """Return a published list as a snapshot.

    Args:
        listing: The list.
        made_on: Today, which the snapshot keeps.
    """
    sources: dict[str, tuple[SnapshotModel, ...]] = {}
    flaws: list[Flaw] = []
    for provider in listing.providers:
        source = SOURCES.get(provider.id)
        if source is None:
            continue
        models: list[SnapshotModel] = []
        for model in provider.models:
            compiled, whys = compile_model(model, currency=model.currency or provider.currency)
            models.append(compiled)
            flaws += (
                Flaw(
                    source=source,
                    model=model.id,
                    why=str(why),
                    is_nonsense=isinstance(why, Nonsense),
                )
                for why in whys
            )
        sources[source] = tuple(models)
    snapshot = Snapshot(source=listing.source, made_on=made_on, sources=sources)
    return Compiled(snapshot=snapshot, flaws=tuple(flaws))


def compile_model(
    model: ListedModel, *, currency: str | None = None
) -> tuple[SnapshotModel, list[Unusable]]:
    """Return one entry of the snapshot, and what has no numbers in it."""
    flaws: dict[str, Unusable] = {}
    found = [_period(model, since, currency, flaws) for since in (None, *_starts(model))]
    periods = _merged(_with_earlier_tiers(found))
    window = model.context_window
    highest = max((above for period in periods for above, _ in period.tiers), default=0)
    compiled = SnapshotModel(
        id=model.id,
        match=_rule(model.match),
        periods=tuple(periods),
        # One that is not over the highest threshold belongs to another version of the model.
        context_window=window if window and window > highest else None,
    )
    return compiled, list(flaws.values())


def _starts(model: ListedModel) -> list[dt.date]:
    """Return the days on which something about a model's price begins."""
    priced = model.prices if isinstance(model.prices, list) else []
    constraints = chain(
        (entry.constraint for entry in priced),
        (variant.constraint for variant in model.price_variants or ()),
    )
    days = {constraint.start_date for constraint in constraints if constraint is not None}
    return sorted(day for day in days if day is not None)


def _with_earlier_tiers(periods: Sequence[Period]) -> Sequence[Period]:
    """Return periods with the service tiers that were told later, as long as the price stays.

    The list begins to tell service tiers on the day that somebody looked, not on that from which
    they hold. As long as the standard price was the same they are taken to be.

    Source: genai-prices 0.2.3 ("Tier history before this verification is not modeled").
    """
    made: list[Period] = []
    for period in reversed(periods):
        later = made[-1] if made else None
        if later is not None and (later.rates, later.tiers) == (period.rates, period.tiers):
            known = {**later.service_tiers, **period.service_tiers}
            made.append(msgspec.structs.replace(period, service_tiers=known))
        else:
            made.append(period)
    return made[::-1]


def _merged(periods: Sequence[Period]) -> list[Period]:
    """Return periods without those that only go on with what held before."""
    merged: list[Period] = []
    for period in periods:
        if not merged or msgspec.structs.replace(merged[-1], since=period.since) != period:
            merged.append(period)
    return merged


def _period(
    model: ListedModel, since: dt.date | None, currency: str | None, flaws: dict[str, Unusable]
) -> Period:
    day = since or dt.date.min
    standard = _current(model.prices, day)
    try:
        if currency not in {None, CURRENCY}:
            msg = f"its price is in {currency}"
            raise Nonsense(msg)
        numbers = _numbers(standard)
        _check_fees(model.id, standard)
    except Unusable as why:
        flaws.setdefault(str(why), why)
        return Period(since=since)
    return Period(
        since=since,
        rates=numbers.rates,
        tiers=numbers.tiers,
        service_tiers=dict(_variants(model.price_variants or (), standard, day, flaws)),
        text_only=bool(_dearer_than_text(standard)),
        short_writes_only="cache_write_mtok" in standard and "cache_write_1h_mtok" not in standard,
    )


def _numbers(prices: Amounts) -> SnapshotPrice:
    _check_names(prices)
    starts = sorted(
        {
            tier.start
            for value in prices.values()
            if isinstance(value, Tiered)
            for tier in value.tiers
        }
    )
    return SnapshotPrice(
        rates=_rates(prices, above=None),
        tiers=tuple((start, _rates(prices, above=start)) for start in starts),
    )


def _check_names(prices: Amounts) -> None:
    """Refuse what is paid for something that nobody here knows, and what no price can be."""
    for name, value in prices.items():
        is_known = name in BUCKETS or name.endswith(UNITS_BESIDES_TOKENS)
        if not is_known and not set(KINDS) & set(name.split("_")):
            msg = f"it has a price for {name}, which is in no bucket"
            raise Unusable(msg)
        for amount in _amounts(value):
            if not amount.is_finite() or amount < 0:
                msg = f"its {name} is {amount}"
                raise Nonsense(msg)


def _check_fees(name: str, prices: Amounts) -> None:
    """Refuse a model that costs, asked for text, what is in no bucket of tokens."""
    if always_searches(name):
        msg = "it searches in every call, for a fee"
        raise Unusable(msg)
    made = {dearer for dearer in _dearer_than_text(prices) if dearer.startswith("output")}
    fees = ({"requests_kcount"} & set(prices)) | made
    if fees:
        msg = f"its {', '.join(sorted(fees))} may be charged for a text"
        raise Unusable(msg)


def _variants(
    variants: Sequence[Variant], standard: Amounts, day: dt.date, flaws: dict[str, Unusable]
) -> Iterator[tuple[str, SnapshotPrice]]:
    """Yield what differs by how a request is served; of several that name it, the first counts."""
    told: dict[str, dict[str, Amount]] = {}
    for variant in variants:
        name = _service_tier(variant)
        if name is not None and _started(variant.constraint, day):
            amounts = told.setdefault(name, {})
            for bucket, value in _named(variant.prices).items():
                amounts.setdefault(bucket, value)
    for name, amounts in told.items():
        if amounts:
            try:
                yield name, _numbers({**standard, **amounts})
            except Unusable as why:
                flaws.setdefault(str(why), type(why)(f"{name}: {why}"))


def _service_tier(variant: Variant) -> str | None:
    """Return the service tier that a variant is the price of; None where it is something else.

    One that holds at some hours only is none: what it costs at the others is not told.
    """
    has_hours = variant.constraint is not None and variant.constraint.start_time is not None
    if len(variant.when) != 1 or has_hours:
        return None
    ((key, name),) = variant.when.items()
    is_served = key in SERVED or (key, name) == ("processing", BATCH)
    return name if is_served else None


def _current(
    prices: Mapping[str, Amount | None] | Sequence[Conditional], day: dt.date
) -> Mapping[str, Amount]:
    """Return the prices that hold; of several that hold at times of the day, the dearest.

    The last entry whose condition is met holds, and an hour of the day is met by some calls only.
    """
    if isinstance(prices, Mapping):
        return _named(prices)
    holding: list[Amounts] = []
    for entry in reversed(prices):
        if not _started(entry.constraint, day):
            continue
        holding.append(_named(entry.prices))
        if entry.constraint is None or entry.constraint.start_time is None:
            break
    if holding:
        return max(holding, key=_dearness)
    return _named(prices[0].prices) if prices else {}


def _named(prices: Mapping[str, Amount | None]) -> dict[str, Amount]:
    return {name: value for name, value in prices.items() if value is not None}


def _started(constraint: Constraint | None, day: dt.date) -> bool:
    start = None if constraint is None else constraint.start_date
    return start is None or start <= day


def _dearness(prices: Amounts) -> Decimal:
    return sum((_dearest(prices[bucket]) for bucket in BUCKETS if bucket in prices), Decimal(0))


def _dearer_than_text(prices: Amounts) -> set[str]:
    """Return what costs more than the text of its bucket: pictures, sounds, hours of them.

    genai-prices puts the kind in the middle of a bucket's name: ``cache_audio_read_mtok``.
    """
    others = set(prices) - set(BUCKETS) - SEARCHES
    return {name for name in others if _dearest(prices[name]) > _text_price(prices, name)}


def _text_price(prices: Amounts, name: str) -> Decimal:
    bucket = "_".join(part for part in name.split("_") if part not in KINDS)
    return _dearest(prices[bucket]) if bucket in BUCKETS and bucket in prices else Decimal(-1)


def _dearest(value: Amount) -> Decimal:
    return max(_amounts(value))


def _amounts(value: Amount) -> list[Decimal]:
    if isinstance(value, Tiered):
        return [value.base, *(tier.price for tier in value.tiers)]
    return [value]


def _rates(prices: Amounts, *, above: int | None) -> Numbers:
    def rate(name: str, otherwise: int | None = None) -> int:
        value = prices.get(name)
        if value is None:
            if otherwise is None:
                msg = f"it has no {name}"
                raise Unusable(msg)
            return otherwise
        return _femto(_at(value, above))

    plain = rate("input_mtok")
    # A model without output, such as one for embeddings, never bills any.
    output = rate("output_mtok", 0)
    written = rate("cache_write_mtok", plain)
    return (
        plain,
        rate("cache_read_mtok", plain),
        written,
        rate("cache_write_1h_mtok", written),
        output,
        rate("output_reasoning_mtok", output),
    )


def _at(value: Amount, above: int | None) -> Decimal:
    """Return a price at a tier; ``above`` is the tier's threshold."""
    if isinstance(value, Decimal):
        return value
    price = value.base
    for tier in sorted(value.tiers, key=lambda tier: tier.start):
        if above is not None and tier.start <= above:
            price = tier.price
    return price


def _femto(dollars_a_million: Decimal) -> int:
    femto = dollars_a_million * FEMTO_FOR_A_MILLION
    if femto != femto.to_integral_value():
        msg = f"${dollars_a_million} for a million tokens is finer than a femto-dollar a token"
        raise Unusable(msg)
    return int(femto)


def _rule(match: object) -> object:
    """Return a rule for names in lower case; what is no rule stays, and is found out as such."""
    if not isinstance(match, dict):
        return match
    return {kind: _rule_of(kind, value) for kind, value in cast("dict[str, object]", match).items()}


def _rule_of(kind: str, value: object) -> object:
    if kind in GROUPS and isinstance(value, list):
        return [_rule(part) for part in cast("list[object]", value)]
    return value.lower() if kind != "regex" and isinstance(value, str) else value


def main() -> None:
    """Write the snapshot beside this file."""
    today = dt.datetime.fromtimestamp(SystemClock().now(), dt.UTC).date()
    compiled = compile_listing(read_package(), made_on=today)
    for flaw in compiled.flaws:
        sys.stderr.write(f"{flaw.source}/{flaw.model} has no numbers: {flaw.why}\n")
    path = Path(__file__).with_name(SHIPPED)
    path.write_bytes(encode(compiled.snapshot))
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()

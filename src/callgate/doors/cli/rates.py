"""Prices as people and machines read them: dollars for a million tokens, femto-dollars for one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from callgate.clock import rfc3339
from callgate.doors.cli.priced import Priced
from callgate.doors.cli.screen import Column, moment
from callgate.pricing import Price, Rates

FEMTO_FOR_A_MILLION: Final = 10**9
"""Femto-dollars for a token where a million tokens cost a dollar."""

PRICES: Final = (
    Column("model"),
    Column("holds for", rank=1),
    Column("input", right=True),
    Column("cache read", right=True, rank=3),
    Column("cache write", right=True, rank=4),
    Column("long write", right=True, rank=5),
    Column("output", right=True),
    Column("reasoning", right=True, rank=6),
    Column("told by", rank=7),
)

Rated = tuple[str | None, int, Rates]
"""A service tier, above how much input, and what holds there."""


def lines_of(one: Priced) -> list[tuple[str, ...]]:
    """Return a model as lines of PRICES: the standard price, and below it all that differs."""
    name = one.name if one.route is None else f"{one.name} ({one.route})"
    if one.price is None:
        return [_unpriced_line(name, "no price")]
    told = "settings" if one.price.version.startswith("settings ") else "list"
    lines: list[tuple[str, ...]] = [
        (name, _holds_for(None, tier, above), *_cells(one.price, rates), told)
        for tier, above, rates in rated(one.price)
    ]
    for dated in one.ahead:
        since = f"from {moment(dated.since_at)[:10]}"
        if dated.price is None:
            lines.append(_unpriced_line(name, f"{since}: no price"))
            continue
        lines += [
            (name, _holds_for(since, tier, above), *_cells(dated.price, rates), told)
            for tier, above, rates in rated(dated.price)
        ]
    return lines


def _unpriced_line(name: str, told: str) -> tuple[str, ...]:
    return (name, told, *[""] * (len(PRICES) - 2))


def rated(price: Price) -> Iterator[Rated]:
    """Yield all rates of a price: by service tier, and by how much input a request has."""
    for tier, at in [(None, price), *price.service_tiers.items()]:
        yield tier, 0, at.rates
        for above in at.tiers:
            yield tier, above.above_input_tokens, above.rates


def per_million(femto: int) -> str:
    """Return femto-dollars for a token as dollars for a million of them: ``$1.25``."""
    amount = Decimal(femto) / FEMTO_FOR_A_MILLION
    whole, _, part = f"{amount:f}".partition(".")
    return f"${int(whole):,}.{part.rstrip('0').ljust(2, '0')}"


def page_of(one: Priced) -> dict[str, object]:
    """Return a model as JSON shows it; numbers are femto-dollars for a token."""
    price = one.price
    return {
        "model": one.name,
        "route": one.route,
        "price_version": None if price is None else price.version,
        "prices": None if price is None else _rates_page(price),
        "context_window_tokens": None if price is None else price.context_window,
        "text_only": None if price is None else price.text_only,
        "ahead": [
            {
                "since_at": rfc3339(dated.since_at),
                "price_version": None if dated.price is None else dated.price.version,
                "prices": None if dated.price is None else _rates_page(dated.price),
            }
            for dated in one.ahead
        ],
        "typical_request": None
        if one.held is None
        else {
            "input_tokens": one.held.input_tokens,
            "output_tokens": one.held.output_tokens,
            "held_nano_usd": one.held.total.nano,
        },
        "fix": one.fix,
    }


def unit_prices(rates: Rates) -> dict[str, int]:
    """Return rates as JSON shows them: ``input_femto_usd``."""
    return {f"{field}_usd": getattr(rates, field) for field in Rates.__struct_fields__}


def _known(price: Price, rates: Rates) -> dict[str, int | None]:
    unknown = (field for field in Rates.__struct_fields__ if _is_unknown(price, field))
    return {**unit_prices(rates), **{f"{field}_usd": None for field in unknown}}


def _rates_page(price: Price) -> list[dict[str, object]]:
    return [
        {"service_tier": tier, "above_input_tokens": above, **_known(price, rates)}
        for tier, above, rates in rated(price)
    ]


def _cells(price: Price, rates: Rates) -> list[str]:
    return [
        "unknown" if _is_unknown(price, field) else per_million(getattr(rates, field))
        for field in Rates.__struct_fields__
    ]


def _is_unknown(price: Price, field: str) -> bool:
    return price.short_writes_only and field == "cache_write_long_femto"


def _holds_for(since: str | None, tier: str | None, above: int) -> str:
    over = f"over {above:,} in" if above else None
    return " ".join(filter(None, (since, tier, over)))

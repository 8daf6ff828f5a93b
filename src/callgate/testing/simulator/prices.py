"""What the simulated models cost, reckoned apart from :mod:`callgate.pricing` on purpose.

The bill is the second opinion on the ledger: it works in exact decimals from dollars for a
million tokens, and shares no code and no compiled number with the gate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_CEILING, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from callgate.call import Usage
from callgate.testing.simulator.script import Api, PriceTable, ServedTable, TierTable
from callgate.testing.simulator.script.rules import DatedTable, RatesTable

NANO_FOR_A_MILLION: Final = Decimal(1000)
"""Nano-dollars for one token at one dollar for a million tokens: 10^9 / 10^6."""

EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
"""Arithmetic that raises rather than rounds."""

ROUND_UP: Final = Context(prec=200, rounding=ROUND_CEILING)

STARTS: Final[Mapping[str, Api]] = {"claude": "anthropic", "gemini": "gemini"}
"""How the names of a provider's models begin; all others are OpenAI's."""

STANDARD: Final = frozenset({None, "default", "standard"})
"""Service tiers that cost what the list says."""

DATED: Final = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}$")
"""The date that names a snapshot of a model, such as ``-2026-04-23`` or ``-20251001``."""


def _openai(cost: tuple[str, str, str], over: tuple[str, str, str] | None = None) -> PriceTable:
    plain, cached, output = map(Decimal, cost)
    tiers: tuple[TierTable, ...] = ()
    if over is not None:
        high, high_cached, high_output = map(Decimal, over)
        tier = TierTable(
            above_input_tokens=272_000, input=high, cache_read=high_cached, output=high_output
        )
        tiers = (tier,)
    return PriceTable(api="openai", input=plain, cache_read=cached, output=output, tiers=tiers)


def _served(*cost: str, over: tuple[str, str, str] | None = None) -> ServedTable:
    """Return the prices of a service tier: plain, cached, (written, for longer,) output."""
    plain, cached, *written, output = map(Decimal, cost)
    tiers: tuple[TierTable, ...] = ()
    if over is not None:
        high, high_cached, high_output = map(Decimal, over)
        tier = TierTable(
            above_input_tokens=272_000, input=high, cache_read=high_cached, output=high_output
        )
        tiers = (tier,)
    short, long = written or (None, None)
    return ServedTable(
        input=plain,
        cache_read=cached,
        cache_write=short,
        cache_write_long=long,
        output=output,
        tiers=tiers,
    )


def _gemini(cost: tuple[str, str, str], over: tuple[str, str, str] | None = None) -> PriceTable:
    plain, cached, output = map(Decimal, cost)
    tiers: tuple[TierTable, ...] = ()
    if over is not None:
        high, high_cached, high_output = map(Decimal, over)
        tier = TierTable(
            above_input_tokens=200_000, input=high, cache_read=high_cached, output=high_output
        )
        tiers = (tier,)
    return PriceTable(api="gemini", input=plain, cache_read=cached, output=output, tiers=tiers)


def _embedding(cost: str) -> PriceTable:
    return PriceTable(api="openai", input=Decimal(cost), output=Decimal(0))


def _anthropic(*cost: str, tiers: tuple[TierTable, ...] = ()) -> PriceTable:
    plain, read, write, long, output = map(Decimal, cost)
    return PriceTable(
        api="anthropic",
        input=plain,
        cache_read=read,
        cache_write=write,
        cache_write_long=long,
        output=output,
        tiers=tiers,
    )


BUILT_IN: Final[Mapping[str, PriceTable]] = {
    "gpt-4o-mini": _openai(("0.15", "0.075", "0.6")),
    "gpt-5": _openai(("1.25", "0.125", "10")),
    "gpt-5-mini": _openai(("0.25", "0.025", "2")),
    "gpt-5-nano": _openai(("0.05", "0.005", "0.4")),
    "gpt-5.4-mini": _openai(("0.75", "0.075", "4.5")),
    "gpt-5.4-nano": _openai(("0.2", "0.02", "1.25")),
    "gpt-5.5": _openai(("5", "0.5", "30"), over=("10", "1", "45")).model_copy(
        update={
            "service_tiers": {
                "flex": _served("2.5", "0.25", "15", over=("5", "0.5", "22.5")),
                "batch": _served("2.5", "0.25", "15", over=("5", "0.5", "22.5")),
                "priority": _served("12.5", "1.25", "75"),
                "fast": _served("12.5", "1.25", "75"),
            }
        }
    ),
    "claude-haiku-4-5": _anthropic("1", "0.1", "1.25", "2", "5"),
    "claude-haiku-5-5": _anthropic(
        "0.1", "0.01", "0.125", "0.2", "0.5",
        tiers=(
            TierTable(
                above_input_tokens=100_000,
                input=Decimal("0.5"),
                cache_read=Decimal("0.05"),
                cache_write=Decimal("0.625"),
                cache_write_long=Decimal(1),
                output=Decimal("2.5"),
            ),
        ),
    ),
    "claude-opus-5": _anthropic("5", "0.5", "6.25", "10", "25").model_copy(
        update={
            "service_tiers": {
                "batch": _served("2.5", "0.25", "3.125", "5", "12.5"),
                "fast": _served("10", "1", "12.5", "20", "50"),
                "us": _served("5.5", "0.55", "6.875", "11", "27.5"),
                "batch us": _served("2.75", "0.275", "3.4375", "5.5", "13.75"),
                "fast us": _served("11", "1.1", "13.75", "22", "55"),
            }
        }
    ),
    "claude-opus-5-5": _anthropic("4", "0.2", "5", "8", "20"),
    "claude-sonnet-5": _anthropic("2", "0.2", "2.5", "4", "10"),
    "claude-sonnet-5-5": _anthropic("2", "0.1", "2.5", "4", "10"),
    "gemini-2.5-flash": _gemini(("0.3", "0.03", "2.5")),
    "gemini-2.5-flash-lite": _gemini(("0.1", "0.01", "0.4")),
    "gemini-2.5-pro": _gemini(("1.25", "0.125", "10"), over=("2.5", "0.25", "15")),
    "gemini-3.1-flash-lite": _gemini(("0.25", "0.025", "1.5")),
    "gemini-3.1-pro-preview": _gemini(("2", "0.2", "12"), over=("4", "0.4", "18")),
    "gemini-3.5-flash": _gemini(("1.5", "0.15", "9")),
    "gemini-3.5-flash-lite": _gemini(("0.3", "0.03", "2.5")),
    "text-embedding-3-large": _embedding("0.13"),
    "text-embedding-3-small": _embedding("0.02"),
    "text-embedding-ada-002": _embedding("0.1"),
}  # fmt: skip
"""Dollars for a million tokens.

Source: genai-prices 0.2.3, providers ``openai``, ``anthropic`` and ``google``, under the same names.
"""


class PriceList:
    """The prices that a bill is made from.

    Args:
        scripted: The script's own prices, by model; they go before the built-in ones.
    """

    def __init__(self, scripted: Mapping[str, PriceTable]) -> None:
        self._prices = {**BUILT_IN, **scripted}

    def models(self, api: Api) -> list[str]:
        """Return the names of a provider's models, sorted."""
        return sorted(name for name, price in self._prices.items() if _api(name, price) == api)

    def cost_nano_usd(
        self, model: str, usage: Usage, *, service_tier: str | None = None, on: date = date.min
    ) -> int | None:
        """Return what ``usage`` costs in nano-dollars, or None where it has no price.

        The sum over the buckets is exact and rounded up once, to a whole nano-dollar.

        Args:
            model: Its name.
            usage: What it used.
            service_tier: How it was served; None: at the standard tier.
            on: The day, in UTC.
        """
        price = self._prices.get(model) or self._prices.get(DATED.sub("", model))
        if price is None:
            return None
        held: DatedTable = price
        for change in sorted(price.changes, key=lambda change: change.since):
            if change.since <= on:
                held = change
        served = held if service_tier in STANDARD else held.service_tiers.get(service_tier or "")
        return None if served is None else cost_nano_usd(served, usage)


def cost_nano_usd(price: ServedTable, usage: Usage) -> int:
    """Return what ``usage`` costs at ``price`` in nano-dollars, rounded up once."""
    rates: RatesTable = price
    for tier in sorted(price.tiers, key=lambda tier: tier.above_input_tokens):
        if usage.total_input_tokens > tier.above_input_tokens:
            rates = tier
    written = _first(rates.cache_write, rates.input)
    buckets = (
        (usage.input_tokens, rates.input),
        (usage.cache_read_tokens, _first(rates.cache_read, rates.input)),
        (usage.cache_write_tokens, written),
        (usage.cache_write_long_tokens, _first(rates.cache_write_long, written)),
        (usage.output_tokens, rates.output),
        (usage.reasoning_tokens, _first(rates.reasoning, rates.output)),
    )
    total = Decimal(0)
    for tokens, dollars in buckets:
        total = EXACT.add(total, EXACT.multiply(tokens, dollars))
    return int(EXACT.multiply(total, NANO_FOR_A_MILLION).to_integral_value(context=ROUND_UP))


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate


def _api(name: str, price: PriceTable) -> Api:
    if price.api is not None:
        return price.api
    for start, api in STARTS.items():
        if name.startswith(start):
            return api
    return "openai"

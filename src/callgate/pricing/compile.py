"""Compile genai-prices into the snapshot that ships: ``python -m callgate.pricing.compile``.

Run by developers when genai-prices has news; at run time nothing of it is needed. Every number
becomes a whole count of femto-dollars for a token, or the model is left out, so that it is refused
under a budget rather than priced wrong.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from callgate.clock import SystemClock

SOURCES: Final = {
    "openai": "openai", "anthropic": "anthropic", "google": "gemini", "azure": "azure",
    "aws": "bedrock", "mistral": "mistral", "deepseek": "deepseek", "x-ai": "x-ai",
    "groq": "groq", "openrouter": "openrouter", "together": "together", "fireworks": "fireworks",
}  # fmt: skip
"""genai-prices' names for providers, and ours for ``price_source``."""

FEMTO_FOR_A_MILLION: Final = 10**9
"""One dollar for a million tokens is this many femto-dollars for a token: 10^15 / 10^6."""

PER_TOKEN: Final = frozenset({
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok",
    "output_reasoning_mtok",
})  # fmt: skip
PER_CALL: Final = frozenset({"requests_kcount"})
"""A fee for each request is in no token bucket: a model that has one cannot be bounded by tokens."""

Rates = tuple[int, int, int, int, int, int]


class Unusable(Exception):
    """A price that cannot be expressed exactly."""


def compile_snapshot() -> dict[str, object]:
    """Return the snapshot as plain data."""
    from genai_prices import data  # noqa: PLC0415 (a development dependency)

    version = importlib.metadata.version("genai-prices")
    sources = {
        SOURCES[provider.id]: list(_models(provider))
        for provider in data.providers
        if provider.id in SOURCES
    }
    return {"source": f"genai-prices {version}", "sources": sources}


def _models(provider: Any) -> Iterator[dict[str, object]]:
    for model in provider.models:
        try:
            yield _model(model)
        except Unusable as why:
            sys.stderr.write(f"{provider.id}/{model.id} left out: {why}\n")


def _model(model: Any) -> dict[str, object]:
    prices = _current(model.prices)
    named = {name: value for name, value in vars(prices).items() if value is not None}
    fees = PER_CALL & set(named)
    if fees:
        msg = f"it has {', '.join(fees)}"
        raise Unusable(msg)
    starts = sorted({
        tier.start for value in named.values() for tier in getattr(value, "tiers", ())
    })  # fmt: skip
    compiled: dict[str, object] = {
        "id": model.id,
        "match": _rule(model.match),
        "rates": _rates(named, above=None),
        "tiers": [(start, _rates(named, above=start)) for start in starts],
    }
    if model.context_window:
        compiled["context_window"] = model.context_window
    return compiled


def _current(prices: Any) -> Any:
    """Return the prices that hold; of several that hold at times of the day, the dearest."""
    if not isinstance(prices, list):
        return prices
    today = dt.datetime.fromtimestamp(SystemClock().now(), dt.UTC).date()
    started = [entry for entry in prices if _started(entry.constraint, today)]
    if any(type(entry.constraint).__name__ == "TimeOfDateConstraint" for entry in started):
        return max((entry.prices for entry in started), key=_dearness)
    dated = sorted(started, key=lambda entry: getattr(entry.constraint, "start_date", dt.date.min))
    return dated[-1].prices


def _started(constraint: Any, today: dt.date) -> bool:
    start = getattr(constraint, "start_date", None)
    return start is None or start <= today


def _dearness(prices: Any) -> Decimal:
    return _at(prices.input_mtok, None) + _at(prices.output_mtok, None)


def _rates(named: dict[str, Any], *, above: int | None) -> Rates:
    def rate(name: str, otherwise: int | None = None) -> int:
        value = named.get(name)
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


def _at(value: Any, above: int | None) -> Decimal:
    """Return a price at a tier; ``above`` is the tier's threshold."""
    if value is None:
        return Decimal(0)
    if isinstance(value, Decimal):
        return value
    price: Decimal = value.base
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


def _rule(match: Any) -> dict[str, Any]:
    kind = type(match).__name__
    if kind in {"ClauseOr", "ClauseAnd"}:
        name = "or" if kind == "ClauseOr" else "and"
        return {name: [_rule(part) for part in getattr(match, f"{name}_")]}
    name = {
        "ClauseEquals": "equals", "ClauseStartsWith": "starts_with", "ClauseEndsWith": "ends_with",
        "ClauseContains": "contains", "ClauseRegex": "regex",
    }[kind]  # fmt: skip
    return {name: getattr(match, name)}


def main() -> None:
    """Write the snapshot beside this file."""
    path = Path(__file__).with_name("prices.json")
    path.write_bytes(msgspec.json.encode(compile_snapshot()) + b"\n")
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()

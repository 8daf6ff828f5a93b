"""Compile genai-prices into the snapshot that ships: ``python -m callgate.pricing.compile``.

Run by developers when genai-prices has news; at run time nothing of it is needed. Every number
becomes a whole count of femto-dollars for a token. A model that this cannot express keeps its place
in the list without numbers, so that it is refused under a budget rather than priced wrong, and
nothing further down is taken for it.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

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

BUCKETS: Final = (
    "input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_mtok",
    "output_reasoning_mtok",
)  # fmt: skip
"""genai-prices' names in the order of :class:`callgate.pricing.Rates`."""

SEARCHES: Final = frozenset({"web_searches_kcount", "storage_searches_kcount"})
"""Fees for what a request asks for by a tool of the provider's own."""

SERVED: Final = frozenset({"service_tier", "speed"})
"""What genai-prices calls that which a request asks for and a reply tells as its service tier."""

ALWAYS_SEARCHES: Final = re.compile(r"-search\b|deep-research")
"""Models that search whatever they are asked. Source: OpenAI's documentation of web search."""

KINDS: Final = ("audio", "image", "video")
"""What a model may take or make besides text."""

Rates = tuple[int, int, int, int, int, int]
Prices = Mapping[str, Any]
"""Decimals, or tiers of them, by genai-prices' names."""


class Unusable(Exception):
    """A price that cannot be expressed exactly."""


def compile_snapshot(today: dt.date) -> dict[str, object]:
    """Return the snapshot as plain data.

    Args:
        today: The day whose prices to take.
    """
    from genai_prices import data  # noqa: PLC0415 (a development dependency)

    version = importlib.metadata.version("genai-prices")
    sources = {
        SOURCES[provider.id]: [compile_model(model, today) for model in provider.models]
        for provider in data.providers
        if provider.id in SOURCES
    }
    return {"source": f"genai-prices {version} {today}", "sources": sources}


def compile_model(model: Any, today: dt.date) -> dict[str, object]:
    """Return one entry of the snapshot: a name without numbers where it cannot be priced."""
    compiled: dict[str, object] = {"id": model.id, "match": _rule(model.match)}
    standard = _current(model.prices, today)
    try:
        compiled |= _numbers(standard)
        _check_fees(model.id, standard)
    except Unusable as why:
        sys.stderr.write(f"{model.id} has no numbers: {why}\n")
        return {"id": model.id, "match": _rule(model.match)}
    if _dearer_than_text(standard):
        compiled["text_only"] = True
    variants = dict(_variants(model, standard, today))
    if variants:
        compiled["service_tiers"] = variants
    window = model.context_window
    # One that is not over the highest threshold belongs to another version of the model.
    if window and window > max(_thresholds(standard), default=0):
        compiled["context_window"] = window
    return compiled


def _numbers(prices: Prices) -> dict[str, object]:
    compiled: dict[str, object] = {"rates": _rates(prices, above=None)}
    tiers = [(start, _rates(prices, above=start)) for start in _thresholds(prices)]
    if tiers:
        compiled["tiers"] = tiers
    return compiled


def _check_fees(name: str, prices: Prices) -> None:
    """Refuse a model that costs, asked for text, what is in no bucket of tokens."""
    if ALWAYS_SEARCHES.search(name):
        msg = "it searches in every call, for a fee"
        raise Unusable(msg)
    made = {dearer for dearer in _dearer_than_text(prices) if dearer.startswith("output")}
    fees = ({"requests_kcount"} & set(prices)) | made
    if fees:
        msg = f"its {', '.join(sorted(fees))} may be charged for a text"
        raise Unusable(msg)


def _variants(
    model: Any, standard: Prices, today: dt.date
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield what differs by how a request is served; of several, the first that holds counts."""
    seen: set[str] = set()
    for variant in model.price_variants or ():
        names = list(variant.when.items())
        told = _named(variant.prices)
        if len(names) != 1 or names[0][0] not in SERVED or not told:
            continue
        name = names[0][1]
        if name not in seen and _started(variant.constraint, today):
            seen.add(name)
            yield name, _numbers({**standard, **told})


def _current(prices: Any, today: dt.date) -> Prices:
    """Return the prices that hold; of several that hold at times of the day, the dearest.

    The last entry whose condition is met holds, and an hour of the day is met by some calls only.
    """
    if not hasattr(prices, "__len__"):
        return _named(prices)
    holding: list[Prices] = []
    for entry in reversed(prices):
        if not _started(entry.constraint, today):
            continue
        holding.append(_named(entry.prices))
        if type(entry.constraint).__name__ != "TimeOfDateConstraint":
            break
    return max(holding, key=_dearness) if holding else _named(prices[0].prices)


def _named(prices: Any) -> Prices:
    named = cast("dict[str, Any]", vars(prices))
    return {name: value for name, value in named.items() if value is not None}


def _started(constraint: Any, today: dt.date) -> bool:
    start = getattr(constraint, "start_date", None)
    return start is None or start <= today


def _dearness(prices: Prices) -> Decimal:
    return sum((_dearest(prices[bucket]) for bucket in BUCKETS if bucket in prices), Decimal(0))


def _dearer_than_text(prices: Prices) -> set[str]:
    """Return what costs more than the text of its bucket: pictures, sounds, hours of them.

    genai-prices puts the kind in the middle of a bucket's name: ``cache_audio_read_mtok``.
    """
    others = set(prices) - set(BUCKETS) - SEARCHES
    return {name for name in others if _dearest(prices[name]) > _text_price(prices, name)}


def _text_price(prices: Prices, name: str) -> Decimal:
    bucket = "_".join(part for part in name.split("_") if part not in KINDS)
    return _dearest(prices[bucket]) if bucket in BUCKETS and bucket in prices else Decimal(-1)


def _dearest(value: Any) -> Decimal:
    prices: list[Decimal] = [_at(value, None)]
    prices += [tier.price for tier in getattr(value, "tiers", ())]
    return max(prices)


def _thresholds(prices: Prices) -> list[int]:
    return sorted({tier.start for value in prices.values() for tier in getattr(value, "tiers", ())})


def _rates(prices: Prices, *, above: int | None) -> Rates:
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


def _at(value: Any, above: int | None) -> Decimal:
    """Return a price at a tier; ``above`` is the tier's threshold."""
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
    """Return a rule for names in lower case."""
    kind = type(match).__name__
    if kind in {"ClauseOr", "ClauseAnd"}:
        name = "or" if kind == "ClauseOr" else "and"
        return {name: [_rule(part) for part in getattr(match, f"{name}_")]}
    name = {
        "ClauseEquals": "equals", "ClauseStartsWith": "starts_with", "ClauseEndsWith": "ends_with",
        "ClauseContains": "contains", "ClauseRegex": "regex",
    }[kind]  # fmt: skip
    text: str = getattr(match, name)
    return {name: text if name == "regex" else text.lower()}


def main() -> None:
    """Write the snapshot beside this file."""
    today = dt.datetime.fromtimestamp(SystemClock().now(), dt.UTC).date()
    path = Path(__file__).with_name("prices.json")
    path.write_bytes(msgspec.json.encode(compile_snapshot(today)) + b"\n")
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()

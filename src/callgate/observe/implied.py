"""What a provider charges for a token, by its export, beside what the ledger books."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from callgate.observe.difference import Case
from callgate.observe.exports import Bucket
from callgate.pricing import Rates

FEMTO_FOR_A_MILLION: Final = 10**9
"""One dollar for a million tokens, in femto-dollars for one."""

PRICED: Final[Mapping[Bucket, str]] = {
    "input_tokens": "input",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_write_long_tokens": "cache_write_long",
    "output_tokens": "output",
}
"""What the settings call the price of a bucket."""


def by_bucket(case: Case) -> str:
    """Return the buckets whose price is another, for a million tokens."""
    if case.price is None:
        return ""
    ours = _rates_by_bucket(case.price.rates)
    told = [
        f"{PRICED[bucket]} {_for_a_million(theirs)} for a million tokens where ours is"
        f" {_for_a_million(ours[bucket])}"
        for bucket, theirs in _implied(case).items()
        if not case.tolerance.passes(theirs - ours[bucket], ours[bucket])
    ]
    return f" ({'; '.join(told)})" if told else ""


def _implied(case: Case) -> dict[Bucket, int]:
    """Return what a token of each bucket was charged, in femto-dollars, where costs tell buckets."""
    counts: dict[Bucket, int] = {
        bucket: getattr(case.export.usage, bucket) for bucket in case.export.by_bucket
    }
    return {
        bucket: round(Decimal(case.export.by_bucket[bucket]) / count)
        for bucket, count in counts.items()
        if count
    }


def _rates_by_bucket(rates: Rates) -> dict[Bucket, int]:
    return {
        "input_tokens": rates.input_femto,
        "cache_read_tokens": rates.cache_read_femto,
        "cache_write_tokens": rates.cache_write_femto,
        "cache_write_long_tokens": rates.cache_write_long_femto,
        "output_tokens": rates.output_femto,
    }


def times_as_much(case: Case) -> Decimal | None:
    """Return by how much what was charged is more than what was booked for the same."""
    charged = case.export.amounts.cost_nano
    booked = charged - case.left.cost_nano
    return Decimal(charged) / booked if charged > 0 and booked > 0 else None


def what_to_write(case: Case) -> str:
    """Return the lines of the settings that make our price theirs, as far as that can be told."""
    prices: dict[Bucket, int] = {}
    ratio = times_as_much(case)
    if case.price is not None and ratio is not None and not case.ledger.of("unknown").requests:
        ours = _rates_by_bucket(case.price.rates)
        prices.update({bucket: round(ours[bucket] * ratio) for bucket in _used(case)})
    prices.update(_implied(case))
    lines = ", ".join(
        f'{PRICED[bucket]} = "{_for_a_million(prices[bucket])}"'
        for bucket in PRICED
        if bucket in prices
    )
    return f'[prices."{case.priced_as}"]{lines and " "}{lines}'


def _used(case: Case) -> list[Bucket]:
    """Return the buckets that the settings must price: those that must be named, and were used."""
    usage = case.export.usage
    named = {"input_tokens", "output_tokens"}
    return [bucket for bucket in PRICED if bucket in named or getattr(usage, bucket)]


def _for_a_million(femto: int) -> str:
    return f"${(Decimal(femto) / FEMTO_FOR_A_MILLION).quantize(Decimal('0.0001')).normalize():f}"

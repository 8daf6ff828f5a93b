"""Prices and usages of every shape, for the property tests of this folder."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from callgate.call import Usage
from callgate.pricing import Price, Rates, Tier

tokens = st.integers(0, 2_000_000)
femto = st.integers(0, 10**12)
"""Up to a thousand dollars for a million tokens."""

rates = st.builds(
    Rates,
    input_femto=femto,
    cache_read_femto=femto,
    cache_write_femto=femto,
    cache_write_long_femto=femto,
    output_femto=femto,
    reasoning_femto=femto,
)
usages = st.builds(
    Usage,
    input_tokens=tokens,
    cache_read_tokens=tokens,
    cache_write_tokens=tokens,
    cache_write_long_tokens=tokens,
    output_tokens=tokens,
    reasoning_tokens=tokens,
)


def _priced(rates: Rates, tiers: dict[int, Rates]) -> Price:
    return Price(
        version="test",
        rates=rates,
        tiers=tuple(Tier(above_input_tokens=above, rates=tiers[above]) for above in sorted(tiers)),
    )


prices = st.builds(_priced, rates, st.dictionaries(st.integers(1, 1_000_000), rates, max_size=3))


def flat(dollars_a_million: int, **more: Any) -> Price:
    """Return a price that is the same for every bucket."""
    rate = dollars_a_million * 10**9
    values = dict.fromkeys(Rates.__struct_fields__, rate)
    return Price(version=f"{dollars_a_million}", rates=Rates(**values), **more)

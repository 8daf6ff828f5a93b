"""A price multiplies exactly, rounds up once, and holds for how a call was really served."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate, Usage
from callgate.config.policies import PricePolicy
from callgate.config.values import parse_price
from callgate.money import Money
from callgate.pricing import Price, Rates, Tier, served_price
from callgate.pricing.table import PriceTable
from callgate.testing.simulator.prices import BUILT_IN, PriceList, cost_nano_usd
from callgate.testing.simulator.script import PriceTable as ScriptedPrice
from tests.unit.pricing.prices import flat, prices, rates, usages

NOW = 1_795_564_800.0
"""2026-11-25."""

BUCKETS = [(bucket, bucket.replace("_tokens", "_femto")) for bucket in Usage.__struct_fields__]


@given(rates, usages)
def test_a_cost_is_the_exact_sum_over_the_buckets_rounded_up_once(
    rates: Rates, usage: Usage
) -> None:
    exact = sum(
        Fraction(getattr(usage, tokens) * getattr(rates, rate), 10**6) for tokens, rate in BUCKETS
    )
    assert Price(version="", rates=rates).cost(usage) == Money(math.ceil(exact))


@given(prices, usages)
def test_the_last_threshold_that_all_input_passes_sets_every_rate(
    price: Price, usage: Usage
) -> None:
    passed = [
        tier.rates for tier in price.tiers if usage.total_input_tokens > tier.above_input_tokens
    ]
    expected = Price(version="", rates=[price.rates, *passed][-1])
    assert price.cost(usage) == expected.cost(usage)


def test_a_part_of_a_nano_dollar_costs_a_whole_one() -> None:
    price = Price(version="", rates=Rates(**dict.fromkeys(Rates.__struct_fields__, 1)))
    assert price.cost(Usage(input_tokens=1, reasoning_tokens=1)) == Money(1)
    assert price.cost(Usage(input_tokens=10**6)) == Money(1)
    assert price.cost(Usage(input_tokens=10**6, output_tokens=1)) == Money(2)
    assert price.cost(Usage()) == Money(0)


def test_a_threshold_is_passed_by_one_token_more() -> None:
    price = flat(1, tiers=(Tier(above_input_tokens=100, rates=flat(2).rates),))
    assert price.cost(Usage(input_tokens=60, cache_read_tokens=40)) == Money(100_000)
    assert price.cost(Usage(input_tokens=61, cache_read_tokens=40)) == Money(202_000)


@pytest.mark.parametrize("model", sorted(BUILT_IN))
@given(usage=usages)
def test_the_simulators_bill_is_the_gates_cost(model: str, usage: Usage) -> None:
    """Two programs that share no code and no number agree on every usage of every model."""
    api = BUILT_IN[model].api or ""
    price = PriceTable({}).find(api, Candidate(provider=api, model=model), at=NOW)
    assert price is not None
    assert price.cost(usage).nano == PriceList({}).cost_nano_usd(model, usage)


TIERS = [(model, tier) for model in sorted(BUILT_IN) for tier in BUILT_IN[model].service_tiers]


@pytest.mark.parametrize(("model", "tier"), TIERS)
@given(usage=usages)
def test_they_agree_on_every_service_tier_that_both_know(
    model: str, tier: str, usage: Usage
) -> None:
    api = BUILT_IN[model].api or ""
    price = PriceTable({}).find(api, Candidate(provider=api, model=model), at=NOW)
    assert price is not None
    served = price.at(tier)
    assert served is not None
    billed = PriceList({}).cost_nano_usd(model, usage, service_tier=tier)
    assert served.cost(usage).nano == billed


def _dollars(places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(0, 1_000, allow_nan=False, places=places)


@given(usages, st.lists(_dollars(9), min_size=6, max_size=6))
def test_a_price_of_the_settings_costs_what_the_simulator_bills(
    usage: Usage, dollars: list[Decimal]
) -> None:
    plain, read, write, long, output, reasoning = dollars
    names = ("input", "cache_read", "cache_write", "cache_write_long", "output", "reasoning")
    policy = PricePolicy(**{
        f"{name}_femto": parse_price(f"${amount:f}") for name, amount in zip(names, dollars, strict=True)
    })  # fmt: skip
    scripted = ScriptedPrice(
        input=plain, cache_read=read, cache_write=write, cache_write_long=long, output=output,
        reasoning=reasoning,
    )  # fmt: skip
    price = PriceTable({"a:m": policy}).find("openai", Candidate(provider="a", model="m"), at=NOW)
    assert price is not None
    assert price.cost(usage).nano == cost_nano_usd(scripted, usage)


TIERED = flat(
    2,
    standard_tiers=frozenset({"default", "auto"}),
    service_tiers={"flex": flat(1), "priority": flat(5)},
)
ONE = Usage(input_tokens=1_000_000)


@pytest.mark.parametrize(
    ("asked", "told", "dollars"),
    [
        (None, None, "2"),
        (None, "default", "2"),
        ("flex", "flex", "1"),
        ("flex", None, "2"),
        ("priority", "priority", "5"),
        ("priority", "default", "2"),
        ("priority", None, "5"),
        ("auto", "priority", "5"),
    ],
)
def test_a_reply_costs_what_it_says_how_it_was_served(
    asked: str | None, told: str | None, dollars: str
) -> None:
    price = served_price(TIERED.may_hold(asked), ONE, service_tier=told)
    assert price is not None
    assert price.cost(ONE) == Money.dollars(dollars)


def test_a_service_tier_without_a_price_is_unknown_and_never_the_standard_one() -> None:
    assert TIERED.at("ultrafast") is None
    assert TIERED.may_hold("ultrafast") == ()
    assert served_price(TIERED.may_hold(None), ONE, service_tier="ultrafast") is None
    assert served_price((), ONE, service_tier=None) is None
    assert served_price((), ONE, service_tier="default") is None


def test_a_write_for_longer_is_unknown_and_never_a_short_one() -> None:
    prices = (flat(2, short_writes_only=True),)
    assert prices[0].covers(Usage(cache_write_tokens=9))
    assert not prices[0].covers(Usage(cache_write_long_tokens=9))


@pytest.mark.parametrize("nonsense", [None, 7, ["priority"], {"a": 1}])
def test_what_is_no_name_asks_for_no_service_tier(nonsense: object) -> None:
    assert TIERED.may_hold(nonsense) == (TIERED,)


def test_a_price_of_the_settings_holds_however_a_call_is_served() -> None:
    policy = PricePolicy(input_femto=3 * 10**9, output_femto=0)
    price = PriceTable({"a:m": policy}).find("openai", Candidate(provider="a", model="m"), at=NOW)
    assert price is not None
    for told in (None, "default", "priority", "ultrafast"):
        assert served_price(price.may_hold("fast"), ONE, service_tier=told) == price
    assert price.cost(ONE) == Money.dollars("3")

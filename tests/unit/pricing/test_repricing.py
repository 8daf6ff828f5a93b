"""History at other prices: what is known is reckoned anew, and what is not stays unknown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate, Usage
from callgate.config.policies import PricePolicy, ProviderPolicy
from callgate.money import Money
from callgate.pricing import served_price
from callgate.pricing.repricing import KEPT, Repricer, WhyKept
from callgate.pricing.snapshot import Snapshot
from callgate.pricing.table import PriceTable
from callgate.store import PastAttempt, Repricing
from tests.unit.pricing.prices import usages

CHANGE = 1_780_272_000.0
"""2026-06-01."""

USAGE = Usage(input_tokens=1_000, output_tokens=100)
ME = Candidate(provider="p", model="m")
PROVIDERS = {"p": ProviderPolicy(name="p", api="openai", base_url="", price_source="openai")}


def listed(*dollars: int) -> PriceTable:
    """A price that is one thing until June, and another from then on."""
    periods: list[dict[str, Any]] = [{"rates": [one * 10**9] * 6} for one in dollars]
    periods[0]["service_tiers"] = {"flex": {"rates": [10**8] * 6}}
    periods[1:] = [{**period, "since": "2026-06-01"} for period in periods[1:]]
    model = {"id": "m", "match": {"equals": "m"}, "periods": periods}
    page = {"source": "s", "made_on": "2026-01-01", "sources": {"openai": [model]}}
    return PriceTable({}, msgspec.convert(page, type=Snapshot))


def past(**changes: Any) -> PastAttempt:
    made = PastAttempt(
        seq=7, candidate=ME, sent_at=CHANGE - 1, usage=USAGE, service_tier=None, unpriced=None,
        cost=Money(5), estimated=False, finished=True, price_version="old",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def cost(attempt: PastAttempt, prices: PriceTable) -> Money | WhyKept:
    anew = Repricer(prices, PROVIDERS).price(attempt)
    return anew.cost if isinstance(anew, Repricing) else anew


def test_an_attempt_costs_what_held_on_the_day_on_which_it_was_sent() -> None:
    prices = listed(2, 3)
    assert cost(past(), prices) == Money(2_200_000)
    assert cost(past(sent_at=CHANGE), prices) == Money(3_300_000)


def test_it_costs_what_its_service_tier_costs() -> None:
    assert cost(past(service_tier="flex"), listed(2)) == Money(110_000)
    assert cost(past(service_tier="ultrafast"), listed(2)) == "no_price"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"estimated": True}, "estimated"),
        ({"unpriced": "web_search_requests"}, "unpriced"),
        ({"usage": None, "cost": Money()}, "no_usage"),
        ({"cost": None, "finished": False}, "no_usage"),
        ({"cost": None, "usage": Usage(output_tokens=9)}, "no_usage"),
        ({"price_version": "reported by openrouter"}, "reported"),
        ({"candidate": Candidate(provider="p", model="other")}, "no_price"),
        ({"candidate": Candidate(provider="gone", model="m")}, "no_price"),
    ],
)
def test_what_cannot_be_known_stays_as_it_is(changes: dict[str, Any], why: WhyKept) -> None:
    assert cost(past(**changes), listed(2)) == why
    assert why in KEPT


def test_a_cost_that_nobody_knew_is_known_once_there_is_a_price() -> None:
    unknown = past(cost=None, price_version=None)
    anew = Repricer(listed(2), PROVIDERS).price(unknown)
    assert isinstance(anew, Repricing)
    assert (anew.was, anew.cost, anew.seq) == (None, Money(2_200_000), 7)
    assert anew.price_version.startswith("s openai/m ")


def test_prices_of_the_settings_hold_for_who_is_gone_too() -> None:
    policies = {"gone:m": PricePolicy(input_femto=10**9, output_femto=10**9)}
    gone = past(candidate=Candidate(provider="gone", model="m"))
    assert cost(gone, PriceTable(policies)) == Money(1_100_000)


@given(usages, st.sampled_from([None, "flex", "default"]), st.sampled_from([CHANGE - 1, CHANGE]))
def test_the_same_prices_change_nothing(usage: Usage, tier: str | None, at: float) -> None:
    prices = listed(2, 3)
    price = prices.find("openai", ME, at=at)
    assert price is not None
    told = served_price((price,), usage, service_tier=tier)
    if told is None or not usage.is_credible:
        return
    row = past(
        usage=usage,
        service_tier=tier,
        sent_at=at,
        cost=told.cost(usage),
        price_version=told.version,
    )
    anew = Repricer(prices, PROVIDERS).price(row)
    assert isinstance(anew, Repricing)
    assert (anew.cost, anew.price_version) == (row.cost, row.price_version)

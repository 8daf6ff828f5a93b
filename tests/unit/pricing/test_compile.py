"""The snapshot is what compiling makes of the list, number by number."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from callgate.pricing.compile import compile_model, compile_snapshot

TODAY = date(2026, 11, 25)
ANY = ClauseEquals(equals="Some-Model")


def price(text: str, **more: Any) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(text), output_mtok=Decimal(2), **more)


def compiled(prices: Any, *, id: str = "m", **more: Any) -> dict[str, Any]:
    return compile_model(ModelInfo(id=id, match=ANY, prices=prices, **more), TODAY)


def since(day: date | None) -> StartDateConstraint | None:
    return None if day is None else StartDateConstraint(start_date=day)


def femto(dollars: str) -> int:
    return int(Decimal(dollars) * 10**9)


def test_the_snapshot_that_ships_is_what_compiling_makes() -> None:
    shipped = msgspec.json.decode(files("callgate.pricing").joinpath("prices.json").read_bytes())
    day = date.fromisoformat(shipped["source"].split()[-1])
    made = msgspec.json.decode(msgspec.json.encode(compile_snapshot(day)))
    assert made["source"] == shipped["source"], "run python -m callgate.pricing.compile"
    assert made == shipped


def test_a_bucket_without_a_price_costs_as_the_one_it_belongs_to() -> None:
    assert compiled(price("1"))["rates"] == tuple(map(femto, "111122"))
    written = price("1", cache_write_mtok=Decimal(3), cache_read_mtok=Decimal("0.5"))
    assert compiled(written)["rates"] == tuple(map(femto, ["1", "0.5", "3", "3", "2", "2"]))


def test_a_name_is_recognised_in_lower_case() -> None:
    assert compiled(price("1"))["match"] == {"equals": "some-model"}


def test_every_threshold_has_all_rates() -> None:
    tiered = TieredPrices(base=Decimal(1), tiers=[Tier(start=100, price=Decimal(3))])
    later = TieredPrices(base=Decimal(2), tiers=[Tier(start=200, price=Decimal(5))])
    model = compiled(ModelPrice(input_mtok=tiered, output_mtok=later))
    assert model["rates"] == tuple(map(femto, "111122"))
    assert model["tiers"] == [
        (100, tuple(map(femto, "333322"))),
        (200, tuple(map(femto, "333355"))),
    ]


@pytest.mark.parametrize(
    ("prices", "dollars"),
    [
        ([(None, "1"), (date(2026, 11, 25), "2")], "2"),
        ([(None, "1"), (date(2026, 11, 26), "2")], "1"),
        ([(date(2026, 1, 1), "5"), (date(2026, 6, 1), "2")], "2"),
        ([(date(2027, 1, 1), "7")], "7"),
    ],
)
def test_the_price_that_holds_is_the_last_that_has_begun(
    prices: list[tuple[date | None, str]], dollars: str
) -> None:
    entries = [ConditionalPrice(since(begun), prices=price(amount)) for begun, amount in prices]
    assert compiled(entries)["rates"][0] == femto(dollars)


def at_night(amount: str) -> ConditionalPrice:
    night = TimeOfDateConstraint(start_time=time(1), end_time=time(5))
    return ConditionalPrice(night, prices=price(amount))


def test_of_prices_that_hold_at_times_of_the_day_the_dearest_counts() -> None:
    cheap, dear = ConditionalPrice(prices=price("1")), ConditionalPrice(prices=price("5"))
    assert compiled([cheap, at_night("3")])["rates"][0] == femto("3")
    assert compiled([dear, at_night("3")])["rates"][0] == femto("5")


def test_what_a_later_price_has_replaced_counts_at_no_hour() -> None:
    begun = StartDateConstraint(start_date=date(2026, 6, 1))
    entries = [
        ConditionalPrice(prices=price("9")),
        at_night("8"),
        ConditionalPrice(begun, prices=price("1")),
    ]
    assert compiled(entries)["rates"][0] == femto("1")


UNPRICEABLE = {
    "finer than a femto-dollar": price("0.0000000001"),
    "no input": ModelPrice(output_mtok=Decimal(1)),
    "a fee for each call": price("1", requests_kcount=Decimal(5)),
    "pictures that cost more than text": price("1", output_image_mtok=Decimal(30)),
}


@pytest.mark.parametrize("why", UNPRICEABLE)
def test_what_cannot_be_expressed_keeps_its_name_and_no_number(why: str) -> None:
    assert compiled(UNPRICEABLE[why]) == {"id": "m", "match": {"equals": "some-model"}}


def test_a_model_that_searches_in_every_call_has_no_number() -> None:
    assert "rates" not in compiled(price("1"), id="some-search-preview")
    assert "rates" in compiled(price("1"), id="some-research-model")


@pytest.mark.parametrize(
    ("extra", "marked"),
    [
        ({"input_audio_mtok": Decimal(2)}, True),
        ({"input_audio_mtok": Decimal(1)}, False),
        ({"cache_audio_read_mtok": Decimal(1), "cache_read_mtok": Decimal("0.1")}, True),
        ({"audio_hours": Decimal("0.1")}, True),
        ({"web_searches_kcount": Decimal(10)}, False),
        ({"output_image_mtok": Decimal(2)}, False),
    ],
)
def test_a_model_is_marked_where_a_picture_or_a_sound_costs_more(
    extra: dict[str, Decimal], *, marked: bool
) -> None:
    assert compiled(price("1", **extra)).get("text_only", False) is marked


def variant(amount: str, begun: date | None = None, **when: str) -> PriceVariant:
    prices = ModelPrice(input_mtok=Decimal(amount))
    return PriceVariant(when, prices, since(begun))


def test_a_service_tier_changes_just_the_numbers_that_it_names() -> None:
    model = compiled(price("1"), price_variants=[variant("4", service_tier="priority")])
    assert model["service_tiers"] == {"priority": {"rates": tuple(map(femto, "444422"))}}


def test_what_no_reply_tells_is_no_service_tier() -> None:
    variants = [
        variant("4", processing="batch"),
        variant("4", speed="fast", service_tier="priority"),
        variant("5", date(2027, 1, 1), service_tier="flex"),
        PriceVariant({"service_tier": "default"}, ModelPrice()),
    ]
    assert "service_tiers" not in compiled(price("1"), price_variants=variants)


def test_of_several_prices_of_a_service_tier_the_first_that_holds_counts() -> None:
    variants = [
        variant("9", date(2027, 1, 1), speed="fast"),
        variant("5", date(2026, 1, 1), speed="fast"),
        variant("4", speed="fast"),
    ]
    model = compiled(price("1"), price_variants=variants)
    assert model["service_tiers"]["fast"]["rates"][0] == femto("5")


@pytest.mark.parametrize(("window", "kept"), [(100, None), (101, 101), (None, None)])
def test_a_window_below_a_threshold_is_not_that_of_this_price(
    window: int | None, kept: int | None
) -> None:
    tiered = TieredPrices(base=Decimal(1), tiers=[Tier(start=100, price=Decimal(3))])
    model = compiled(ModelPrice(input_mtok=tiered), context_window=window)
    assert model.get("context_window") == kept

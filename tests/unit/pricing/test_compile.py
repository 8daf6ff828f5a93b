"""The snapshot is what compiling makes of the list, number by number and day by day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from callgate.pricing.compile import Nonsense, Unusable, compile_listing, compile_model
from callgate.pricing.listing import ListedModel, Listing, read_package
from callgate.pricing.snapshot import Period, SnapshotModel, encode, shipped

ANY = {"equals": "Some-Model"}


def price(text: str, **more: Any) -> dict[str, Any]:
    return {"input_mtok": Decimal(text), "output_mtok": Decimal(2), **more}


def both(
    prices: Any, *, id: str = "m", currency: str | None = None, **more: Any
) -> tuple[SnapshotModel, list[Unusable]]:
    page = {"id": id, "match": ANY, "prices": prices, **more}
    return compile_model(msgspec.convert(page, type=ListedModel), currency=currency)


def compiled(prices: Any, **more: Any) -> SnapshotModel:
    return both(prices, **more)[0]


def only(prices: Any, **more: Any) -> Period:
    """The one period of a model whose price never changes."""
    (period,) = compiled(prices, **more).periods
    return period


def plain(period: Period) -> int | None:
    """What a token of plain input costs, in femto-dollars."""
    return None if period.rates is None else period.rates[0]


def since(day: date | None) -> dict[str, Any] | None:
    return None if day is None else {"start_date": day}


def femto(dollars: str) -> int:
    return int(Decimal(dollars) * 10**9)


def test_the_snapshot_that_ships_is_what_compiling_makes() -> None:
    kept = shipped()
    made = compile_listing(read_package(), made_on=kept.made_on).snapshot
    assert made.source == kept.source, "run python -m callgate.pricing.compile"
    assert msgspec.json.decode(encode(made)) == msgspec.json.decode(encode(kept))


def test_a_bucket_without_a_price_costs_as_the_one_it_belongs_to() -> None:
    assert only(price("1")).rates == tuple(map(femto, "111122"))
    written = price("1", cache_write_mtok=Decimal(3), cache_read_mtok=Decimal("0.5"))
    assert only(written).rates == tuple(map(femto, ["1", "0.5", "3", "3", "2", "2"]))


@pytest.mark.parametrize(
    ("extra", "marked"),
    [({}, False), ({"cache_write_mtok": 3}, True),
     ({"cache_write_mtok": 3, "cache_write_1h_mtok": 4}, False)],
)  # fmt: skip
def test_what_a_longer_write_costs_is_unknown_where_only_the_shorter_has_a_price(
    extra: dict[str, int], *, marked: bool
) -> None:
    more = {name: Decimal(amount) for name, amount in extra.items()}
    assert only(price("1", **more)).short_writes_only is marked


def test_a_name_is_recognised_in_lower_case() -> None:
    assert compiled(price("1")).match == {"equals": "some-model"}


def test_every_threshold_has_all_rates() -> None:
    def tiered(base: int, start: int, above: int) -> dict[str, Any]:
        return {"base": Decimal(base), "tiers": [{"start": start, "price": Decimal(above)}]}

    period = only({"input_mtok": tiered(1, 100, 3), "output_mtok": tiered(2, 200, 5)})
    assert period.rates == tuple(map(femto, "111122"))
    assert period.tiers == (
        (100, tuple(map(femto, "333322"))),
        (200, tuple(map(femto, "333355"))),
    )


@pytest.mark.parametrize(
    ("prices", "periods"),
    [
        ([(None, "1"), (date(2026, 11, 25), "2")], [(None, "1"), (date(2026, 11, 25), "2")]),
        ([(date(2026, 1, 1), "5"), (date(2026, 6, 1), "2")], [(None, "5"), (date(2026, 6, 1), "2")]),
        ([(date(2027, 1, 1), "7")], [(None, "7")]),
        ([(None, "1"), (date(2026, 6, 1), "1")], [(None, "1")]),
    ],
)  # fmt: skip
def test_each_price_holds_from_its_day_until_the_next_and_the_first_always_did(
    prices: list[tuple[date | None, str]], periods: list[tuple[date | None, str]]
) -> None:
    entries = [{"constraint": since(begun), "prices": price(amount)} for begun, amount in prices]
    found = [(period.since, plain(period)) for period in compiled(entries).periods]
    assert found == [(begun, femto(amount)) for begun, amount in periods]


NIGHT = {"start_time": "01:00:00Z", "end_time": "05:00:00Z"}


def at_night(amount: str) -> dict[str, Any]:
    return {"constraint": NIGHT, "prices": price(amount)}


def test_of_prices_that_hold_at_times_of_the_day_the_dearest_counts() -> None:
    cheap, dear = {"prices": price("1")}, {"prices": price("5")}
    assert plain(only([cheap, at_night("3")])) == femto("3")
    assert plain(only([dear, at_night("3")])) == femto("5")


def test_what_a_later_price_has_replaced_counts_at_no_hour() -> None:
    begun = {"constraint": since(date(2026, 6, 1)), "prices": price("1")}
    periods = compiled([{"prices": price("9")}, at_night("8"), begun]).periods
    assert [plain(period) for period in periods] == [femto("9"), femto("1")]


UNPRICEABLE = {
    "is finer than a femto-dollar": price("0.0000000001"),
    "it has no input_mtok": {"output_mtok": Decimal(1)},
    "requests_kcount may be charged": price("1", requests_kcount=Decimal(5)),
    "output_image_mtok may be charged": price("1", output_image_mtok=Decimal(30)),
    "cache_write_5m_mtok, which is in no bucket": price("1", cache_write_5m_mtok=Decimal(2)),
}


@pytest.mark.parametrize("why", UNPRICEABLE)
def test_what_cannot_be_expressed_keeps_its_name_and_no_number(why: str) -> None:
    model, flaws = both(UNPRICEABLE[why])
    assert (model.match, model.periods) == ({"equals": "some-model"}, (Period(),))
    assert [(why in str(flaw), isinstance(flaw, Nonsense)) for flaw in flaws] == [(True, False)]


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity"])
def test_a_number_that_no_price_can_be_is_told_apart(amount: str) -> None:
    model, (flaw,) = both(price("1", cache_read_mtok=Decimal(amount)))
    assert model.periods == (Period(),)
    assert isinstance(flaw, Nonsense)
    assert str(flaw) == f"its cache_read_mtok is {amount}"


def test_a_price_in_another_currency_is_none() -> None:
    model, (flaw,) = both(price("1"), currency="EUR")
    assert (model.periods, str(flaw)) == ((Period(),), "its price is in EUR")
    assert isinstance(flaw, Nonsense)
    assert only(price("1"), currency="USD").rates is not None


def test_a_model_that_searches_in_every_call_has_no_number() -> None:
    assert only(price("1"), id="some-search-preview").rates is None
    assert only(price("1"), id="some-research-model").rates is not None


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
    assert only(price("1", **extra)).text_only is marked


def variant(amount: str, begun: date | None = None, **when: str) -> dict[str, Any]:
    return {
        "when": when,
        "prices": {"input_mtok": Decimal(amount)},
        "constraint": since(begun),
    }


@pytest.mark.parametrize(
    "when", [{"service_tier": "priority"}, {"speed": "priority"}, {"processing": "batch"}]
)
def test_a_service_tier_changes_just_the_numbers_that_it_names(when: dict[str, str]) -> None:
    (name,) = when.values()
    served = only(price("1"), price_variants=[variant("4", None, **when)]).service_tiers
    assert {tier: of.rates for tier, of in served.items()} == {name: tuple(map(femto, "444422"))}


def test_what_no_reply_tells_is_no_service_tier() -> None:
    variants = [
        variant("4", processing="slow"),
        variant("4", speed="fast", service_tier="priority"),
        {**variant("4", service_tier="flex"), "constraint": NIGHT},
        {"when": {"service_tier": "default"}, "prices": {}},
    ]
    assert only(price("1"), price_variants=variants).service_tiers == {}


def test_a_service_tier_that_cannot_be_expressed_is_left_out_alone() -> None:
    variants = [variant("0.0000000001", speed="fast"), variant("3", service_tier="flex")]
    model, (flaw,) = both(price("1"), price_variants=variants)
    assert set(model.periods[0].service_tiers) == {"flex"}
    assert str(flaw).startswith("fast: ")


def test_a_service_tier_is_as_old_as_the_price_that_it_is_told_for() -> None:
    """The list tells it from the day on which somebody looked."""
    entries = [
        {"prices": price("3")},
        {"constraint": since(date(2026, 1, 1)), "prices": price("2")},
    ]
    flex = variant("1", date(2026, 10, 12), service_tier="flex")
    periods = compiled(entries, price_variants=[flex]).periods
    assert [(period.since, set(period.service_tiers)) for period in periods] == [
        (None, set()),
        (date(2026, 1, 1), {"flex"}),
    ]


def test_of_several_prices_of_a_service_tier_the_first_that_holds_counts() -> None:
    variants = [
        variant("9", date(2027, 1, 1), speed="fast"),
        variant("5", date(2026, 1, 1), speed="fast"),
        variant("4", speed="fast"),
    ]
    periods = compiled(price("1"), price_variants=variants).periods
    found = [(period.since, period.service_tiers["fast"].rates[0]) for period in periods]
    assert found == [
        (None, femto("4")),
        (date(2026, 1, 1), femto("5")),
        (date(2027, 1, 1), femto("9")),
    ]


@pytest.mark.parametrize(("window", "kept"), [(100, None), (101, 101), (None, None)])
def test_a_window_below_a_threshold_is_not_that_of_this_price(
    window: int | None, kept: int | None
) -> None:
    tiered = {"base": Decimal(1), "tiers": [{"start": 100, "price": Decimal(3)}]}
    assert compiled({"input_mtok": tiered}, context_window=window).context_window == kept


def test_what_is_left_out_is_told_with_its_place_and_its_reason() -> None:
    provider = {"id": "google", "models": [{"id": "m", "match": ANY, "prices": {}}]}
    stranger = {"id": "nobody", "models": [{"id": "m", "match": ANY, "prices": {}}]}
    listing = msgspec.convert({"source": "s", "providers": [provider, stranger]}, type=Listing)
    made = compile_listing(listing, made_on=date(2026, 11, 25))
    (flaw,) = made.flaws
    assert (flaw.source, flaw.model, flaw.why) == ("gemini", "m", "it has no input_mtok")
    assert list(made.snapshot.sources) == ["gemini"]

"""Whose price holds: the settings' own, else the list's; and what to do where there is none."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from genai_prices import Usage as ListUsage
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate, Usage
from callgate.config.loading import read_settings
from callgate.config.policies import PricePolicy, PriceSource
from callgate.errors import Misconfigured
from callgate.pricing import Price
from callgate.pricing.compile import SOURCES
from callgate.pricing.snapshot import NO_LIST, encode, shipped
from callgate.pricing.table import (
    LONGEST_NAME,
    MOST_KNOWN,
    PLACES,
    PriceTable,
    own_list,
    unpriced_fix,
)

TABLE = PriceTable({})
MADE_ON = shipped().made_on


def instant(day: date) -> float:
    """The first instant of a day in UTC."""
    return datetime.combine(day, time(), UTC).timestamp()


NOW = instant(MADE_ON)


def find(source: str, model: str, *, at: float = NOW) -> Price | None:
    return TABLE.find(source, Candidate(provider="p", model=model), at=at)


def found(source: str, model: str, *, at: float = NOW) -> Price:
    price = find(source, model, at=at)
    assert price is not None
    return price


def listed() -> Iterator[tuple[str, Provider, ModelInfo]]:
    """Every model of the list that the snapshot is made of."""
    for provider in providers:
        if provider.id in SOURCES:
            yield from ((SOURCES[provider.id], provider, model) for model in provider.models)


def first_names() -> Iterator[tuple[str, Provider, ModelInfo, str]]:
    """Every listed model by its own name, where that name leads to it."""
    for source, provider, model in listed():
        if provider.find_model(model.id) is model:
            yield source, provider, model, model.id


SIZES = [0, 1, 99_999, 100_001, 200_001, 272_001, 1_000_000]


def by_the_list(
    provider: Provider, model: ModelInfo, usage: Usage, *, day: date, **context: str
) -> int:
    """What the list itself says that a usage costs, in nano-dollars, at the dearest hour."""
    told = ListUsage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_long_tokens,
        cache_write_1h_tokens=usage.cache_write_long_tokens,
        output_tokens=usage.total_output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    hours = [datetime.combine(day, time(hour), UTC) for hour in (2, 8, 12, 20)]
    return max(
        math.ceil(
            model.calc_price(
                told, provider, genai_request_timestamp=hour, price_context=context
            ).total_price
            * 10**9
        )
        for hour in hours
    )


def usage_of(size: int) -> Usage:
    return Usage(
        input_tokens=size, cache_read_tokens=size // 3, cache_write_tokens=size // 7,
        cache_write_long_tokens=size // 11, output_tokens=size // 5, reasoning_tokens=size // 13,
    )  # fmt: skip


@pytest.mark.slow
def test_every_price_of_the_snapshot_is_what_the_list_says() -> None:
    """Another program, in decimals, agrees to the nano-dollar on every model and every size."""
    compared = tiered = 0
    for source, provider, model, name in first_names():
        price = find(source, name)
        if price is None:
            continue
        compared += 1
        tiered += bool(price.tiers)
        for size in SIZES:
            usage = usage_of(size)
            told = by_the_list(provider, model, usage, day=MADE_ON)
            assert price.cost(usage).nano == told, (source, name)
    assert compared > 1_100
    assert tiered > 100


@pytest.mark.slow
def test_a_price_changes_on_the_very_day_that_the_list_says() -> None:
    """Also on days to come, and on those that have passed."""
    compared, days_to_come = 0, set[date]()
    for source, provider, model, name in first_names():
        for dated in TABLE.dated(source, Candidate(provider="p", model=name))[:-1]:
            start = datetime.fromtimestamp(dated.since_at, UTC).date()
            for day in (start - timedelta(days=1), start):
                price, usage = find(source, name, at=instant(day)), usage_of(300_000)
                if price is not None:
                    compared += 1
                    told = by_the_list(provider, model, usage, day=day)
                    assert price.cost(usage).nano == told, (source, name, day)
            if start > MADE_ON:
                days_to_come.add(start)
    assert compared > 400
    assert days_to_come == {date(2026, 12, 1), date(2027, 1, 1)}


CONTEXTS: Mapping[str, str] = {"batch": "processing", "fast": "speed"}
"""What the list calls that which a service tier is the value of, where it is not service_tier."""


@pytest.mark.slow
def test_every_service_tier_costs_what_the_list_says() -> None:
    compared: Counter[str] = Counter()
    for source, provider, model, name in first_names():
        price = find(source, name)
        for tier, served in () if price is None else price.service_tiers.items():
            if tier.split()[-1] in PLACES.get(source, {}):
                continue
            compared[tier] += 1
            key = "service_tier" if source == "openai" else CONTEXTS.get(tier, "service_tier")
            context = {CONTEXTS[tier] if tier == "batch" else key: tier}
            for size in SIZES:
                usage = usage_of(size)
                told = by_the_list(provider, model, usage, day=MADE_ON, **context)
                assert served.cost(usage).nano == told, (name, tier)
    assert min(compared[tier] for tier in ("flex", "priority", "fast")) > 20
    assert compared["batch"] > 80


@pytest.mark.parametrize(
    ("source", "model"),
    [
        ("openai", "gpt-4o-mini-search-preview"),
        ("openai", "gpt-4o-mini-Search-preview-2025-03-11"),
        ("openrouter", "perplexity/sonar-pro"),
    ],
)
def test_a_model_that_searches_for_a_fee_has_no_price_by_whatever_name(
    source: str, model: str
) -> None:
    assert find(source, model) is None


def test_a_model_that_cannot_be_priced_keeps_its_names_from_the_next_one() -> None:
    """Further down ``starts_with gpt-4o`` would take it for a model that costs a tenth."""
    for name in ("gpt-4o-realtime-preview", "gpt-4o-search-preview", "o3-deep-research"):
        assert find("openai", name) is None
    assert " openai/gpt-4o " in found("openai", "gpt-4o").version


@pytest.mark.parametrize(
    ("source", "name", "entry"),
    [
        ("openai", "gpt-5.5", "openai/gpt-5.5"),
        ("openai", "GPT-5.5", "openai/gpt-5.5"),
        ("openai", "gpt-5.5-2026-04-23", "openai/gpt-5.5"),
        ("anthropic", "claude-sonnet-5-20260401", "anthropic/claude-sonnet-5"),
        ("together", "MiniMaxAI/MiniMax-M3", "together/MiniMaxAI/MiniMax-M3"),
    ],
)
def test_a_model_is_found_by_the_names_that_it_goes_by(source: str, name: str, entry: str) -> None:
    assert found(source, name).version.split(" ")[2] == entry


@pytest.mark.parametrize("name", ["gpt-5.5-mystery", "", "llama", "g" * (LONGEST_NAME + 1)])
def test_a_name_that_nobody_knows_has_no_price(name: str) -> None:
    assert find("openai", name) is None
    assert find("nobody", "gpt-5.5") is None


def test_the_version_tells_the_list_the_entry_and_the_numbers() -> None:
    price = found("anthropic", "claude-opus-5")
    kind, version, entry, numbers = price.version.split()
    assert (f"{kind} {version}", entry) == (shipped().source, "anthropic/claude-opus-5")
    fast = price.at("fast")
    assert fast is not None
    assert fast.version.startswith(f"{kind} {version} {entry} fast ")
    assert fast.version.split()[-1] != numbers


def test_other_numbers_are_another_version_and_the_same_ones_are_not() -> None:
    dated = TABLE.dated("gemini", Candidate(provider="p", model="gemini-4-argon"))
    later, now = [each.price and each.price.version for each in dated]
    assert now == found("gemini", "gemini-4-argon").version != later


@pytest.mark.parametrize(("tier", "of"), [("us", None), ("fast us", "fast"), ("batch us", "batch")])
def test_what_must_be_served_in_one_country_costs_a_tenth_more(tier: str, of: str | None) -> None:
    price = found("anthropic", "claude-opus-5")
    there, anywhere, usage = price.at(tier), price.at(of), usage_of(1_000_000)
    assert there is not None
    assert anywhere is not None
    assert there.femto(usage) * 10 == anywhere.femto(usage) * 11
    assert price.at("eu") is None
    assert found("openai", "gpt-5.5").at("us") is None


def test_what_costs_more_than_text_is_marked() -> None:
    assert found("gemini", "gemini-2.5-flash").text_only
    assert not found("openai", "gpt-5.5").text_only


def test_a_window_that_the_price_itself_goes_beyond_is_not_believed() -> None:
    """Prices over 200,000 tokens and a window of 200,000: the window is of another version."""
    assert found("anthropic", "claude-sonnet-4-5").context_window is None
    for source, _, _, name in first_names():
        price = find(source, name)
        if price is not None and price.tiers and price.context_window is not None:
            assert price.context_window > price.tiers[-1].above_input_tokens


def test_the_settings_go_before_the_list() -> None:
    candidate = Candidate(provider="openai", model="gpt-5.5")
    policy = PricePolicy(input_femto=7, output_femto=9)
    price = PriceTable({"openai:gpt-5.5": policy}).find("openai", candidate, at=NOW)
    assert price is not None
    assert price.version.startswith("settings openai:gpt-5.5 ")
    assert price.rates.input_femto == 7


def test_a_bucket_that_the_settings_do_not_name_costs_as_the_plain_one() -> None:
    policies = {
        "a:plain": PricePolicy(input_femto=3, output_femto=5),
        "a:write": PricePolicy(input_femto=3, output_femto=5, cache_write_femto=4),
        "a:zero": PricePolicy(input_femto=3, output_femto=5, cache_read_femto=0, reasoning_femto=0),
    }
    table = PriceTable(policies)

    def numbers(model: str, source: str = "openai") -> list[int]:
        price = table.find(source, Candidate(provider="a", model=model), at=NOW)
        assert price is not None
        return [getattr(price.rates, field) for field in price.rates.__struct_fields__]

    assert numbers("plain") == [3, 3, 3, 3, 5, 5]
    assert numbers("write") == [3, 3, 4, 4, 5, 5]
    assert numbers("zero") == [3, 0, 3, 3, 5, 0]
    # Who charges more for every write does so under a contract too.
    assert numbers("plain", "anthropic") == [3, 3, 4, 6, 5, 5]
    assert numbers("write", "anthropic") == [3, 3, 4, 6, 5, 5]


def test_another_price_in_the_settings_is_another_version() -> None:
    def version(femto: int) -> str:
        table = PriceTable({"a:m": PricePolicy(input_femto=femto, output_femto=1)})
        price = table.find("openai", Candidate(provider="a", model="m"), at=NOW)
        assert price is not None
        return price.version

    assert version(1) == version(1) != version(2)


@pytest.mark.parametrize(
    ("source", "model", "tier", "standard"),
    [
        ("openai", "gpt-5.5", "scale", True),
        ("openai", "gpt-5.5", "priority", False),
        ("openai", "o1", "priority", False),
        ("anthropic", "claude-opus-5", "priority", True),
        ("anthropic", "claude-opus-5", "fast", False),
        ("anthropic", "claude-opus-5", "batch", False),
    ],
)
def test_what_was_paid_for_beforehand_costs_what_the_list_says(
    source: str, model: str, tier: str, *, standard: bool
) -> None:
    price = found(source, model)
    assert (price.at(tier) is price) is standard


def test_made_up_names_take_no_memory_for_ever() -> None:
    table = PriceTable({})
    table.find("openai", Candidate(provider="p", model="x" * (LONGEST_NAME + 1)), at=NOW)
    assert len(table) == 0
    for made_up in range(MOST_KNOWN + 10):
        table.find("nobody", Candidate(provider="p", model=f"made-up-{made_up}"), at=NOW)
        assert len(table) <= MOST_KNOWN
    assert table.find("openai", Candidate(provider="p", model="gpt-5.5"), at=NOW) is not None


PROVIDER = '[providers.local]\napi = "{api}"\nbase_url = "http://127.0.0.1:9"\n\n'


def loaded(lines: str, api: str = "openai") -> Any:
    """The settings of a file with a provider and these lines pasted below."""
    return read_settings(PROVIDER.format(api=api) + lines, Path("/nowhere/callgate.toml"))


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@given(model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_the_lines_for_an_unpriced_model_load_as_they_stand(api: str, model: str) -> None:
    candidate = Candidate(provider="local", model=model)
    settings = loaded(unpriced_fix(candidate, api=api), api)
    price = PriceTable(settings.prices).find("openai", candidate, at=NOW)
    assert price is not None
    assert price.cost(Usage(input_tokens=1)).nano == 10_000


def test_the_lines_err_against_the_spender_until_the_numbers_are_put_in() -> None:
    lines = unpriced_fix(Candidate(provider="local", model="m"), api="anthropic")
    written = tomllib.loads(lines)["prices"]["local:m"]
    dollars = {bucket: Decimal(amount.removeprefix("$")) for bucket, amount in written.items()}
    dearer = [
        model.id
        for source, _, model, name in first_names()
        if (price := find(source, name)) is not None
        and (price.rates.input_femto > dollars["input"] * 10**9
             or price.rates.output_femto > dollars["output"] * 10**9)
    ]  # fmt: skip
    assert len(dearer) < 60
    assert dollars["cache_write_long"] == 2 * dollars["input"]


def test_a_list_of_ones_own_holds_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "callgate.toml").write_text(PROVIDER.format(api="openai"))
    settings = read_settings(PROVIDER.format(api="openai"), tmp_path / "callgate.toml")
    candidate = Candidate(provider="local", model="gpt-5.5")
    assert own_list(settings) is None
    assert PriceTable.of(settings).find("openai", candidate, at=NOW) is not None
    (tmp_path / "callgate.prices.json").write_bytes(encode(NO_LIST))
    assert own_list(settings) == NO_LIST
    assert PriceTable.of(settings).find("openai", candidate, at=NOW) is None


def test_a_list_of_ones_own_that_has_grown_old_is_known(tmp_path: Path) -> None:
    settings = read_settings(PROVIDER.format(api="openai"), tmp_path / "callgate.toml")
    assert not PriceTable.of(settings).is_older_than_shipped
    for made_on, is_older in ((MADE_ON, False), (MADE_ON - timedelta(days=1), True)):
        own = msgspec.structs.replace(shipped(), made_on=made_on)
        (tmp_path / "callgate.prices.json").write_bytes(encode(own))
        assert PriceTable.of(settings).is_older_than_shipped is is_older


def test_the_settings_name_just_the_lists_that_there_are() -> None:
    assert set(get_args(PriceSource)) - {"none"} == set(shipped().sources) == set(SOURCES.values())


def test_a_list_of_ones_own_that_is_broken_is_never_replaced_by_another(tmp_path: Path) -> None:
    settings = read_settings(PROVIDER.format(api="openai"), tmp_path / "callgate.toml")
    (tmp_path / "callgate.prices.json").write_bytes(b"{")
    with pytest.raises(Misconfigured, match="cannot be used"):
        PriceTable.of(settings)

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Usage
from callgate.errors import Misconfigured
from callgate.observe.exports import Export, Line
from callgate.observe.exports.formats import FORMATS, recognise
from callgate.observe.exports.reading import read_export
from callgate.observe.exports.values import family, femto, line_item, whole
from tests.unit.observe.exported import (
    ANTHROPIC_COSTS_HEADER,
    ANTHROPIC_USAGE_HEADER,
    DAY,
    DAY_SECONDS,
    NEXT_DAY,
    OPENAI_COSTS_HEADER,
    OPENAI_USAGE_HEADER,
    STARTS_AT,
    anthropic_cost,
    anthropic_page,
    anthropic_row,
    csv_of,
    json_of,
    openai_cost,
    openai_page,
    openai_result,
    openai_row,
    times,
)

DOLLAR = 10**15
"""One dollar, in femto-dollars."""


def read(*files: bytes) -> Export:
    return read_export((f"file{n}", data) for n, data in enumerate(files, 1))


def one(*files: bytes) -> Line:
    """Return the only line of an export."""
    (line,) = read(*files).lines
    return line


def refusal(*files: bytes) -> str:
    with pytest.raises(Misconfigured) as refused:
        read(*files)
    return refused.value.message


def usage(plain: int, read: int, written: int, output: int) -> Usage:
    return Usage(
        input_tokens=plain, cache_read_tokens=read, cache_write_tokens=written, output_tokens=output
    )


def test_openai_activity_is_read_with_its_counts_as_they_are_written() -> None:
    line = one(csv_of(OPENAI_USAGE_HEADER, openai_row(10, 59_200, 5_760, 10_646)))
    assert (line.day, line.model, line.requests) == (DAY, "gpt-5.5-2026-04-23", 10)
    assert line.usage == usage(53_440, 5_760, 0, 10_646)
    assert (line.cost_femto, line.owner, line.service_tier) == (
        None,
        "key_a of proj_a of user-a",
        None,
    )


def test_openai_usage_api_says_the_same_as_its_dashboard() -> None:
    of_api = one(json_of(openai_page(openai_result(10, 59_200, 5_760, 10_646))))
    of_csv = one(csv_of(OPENAI_USAGE_HEADER, openai_row(10, 59_200, 5_760, 10_646)))
    assert (of_api.usage, of_api.requests, of_api.day) == (
        of_csv.usage,
        of_csv.requests,
        of_csv.day,
    )
    assert of_api.owner == "key_a"


def test_what_openai_writes_to_a_cache_is_no_plain_input() -> None:
    result = {**openai_result(1, 100, 20, 5), "input_cache_write_tokens": 30}
    assert one(json_of(openai_page(result))).usage == usage(50, 20, 30, 5)


def test_openai_costs_are_told_by_model_and_bucket() -> None:
    rows = [
        openai_cost("0.5", "gpt-5.5-2026-04-23, input", quantity="1000"),
        openai_cost("0.05", "gpt-5.5-2026-04-23, cached input", quantity="1000"),
        openai_cost("1.25", "priority | gpt-5.5-2026-04-23, output, long context", quantity="7"),
    ]
    lines = read(csv_of(OPENAI_COSTS_HEADER, *rows)).lines
    assert {line.model for line in lines} == {"gpt-5.5-2026-04-23"}
    assert [(line.bucket, line.cost_femto) for line in lines] == [
        ("input_tokens", DOLLAR // 2),
        ("cache_read_tokens", DOLLAR // 20),
        ("output_tokens", DOLLAR * 5 // 4),
    ]
    assert [line.usage for line in lines] == [
        usage(1000, 0, 0, 0),
        usage(0, 1000, 0, 0),
        usage(0, 0, 0, 7),
    ]
    assert lines[2].service_tier == "priority"


def test_tokens_of_costs_count_only_where_no_usage_is_there() -> None:
    costs = csv_of(OPENAI_COSTS_HEADER, openai_cost("0.5", "gpt-5.5, input", quantity="1000"))
    counts = csv_of(OPENAI_USAGE_HEADER, openai_row(1, 1000, 0, 0))
    told = [line.usage for line in read(costs, counts).lines]
    assert told == [None, usage(1000, 0, 0, 0)]
    assert one(costs).usage == usage(1000, 0, 0, 0)


def test_what_is_no_token_is_a_fee() -> None:
    rows = [openai_cost("0.25", "web search tool calls"), openai_cost("1", "gpt-5.5, audio")]
    assert [(line.model, line.fee) for line in read(csv_of(OPENAI_COSTS_HEADER, *rows)).lines] == [
        (None, "web search tool calls"),
        (None, "gpt-5.5, audio"),
    ]


@pytest.mark.parametrize("value", [0.06, "0.060000000000000000000000"])
def test_costs_of_the_api_are_exact_however_they_are_written(value: object) -> None:
    result = {
        "object": "organization.costs.result",
        "amount": {"value": value, "currency": "usd"},
        "line_item": None,
        "project_id": "proj_a",
    }
    line = one(json_of(openai_page(result)))
    assert (line.cost_femto, line.model, line.fee) == (DOLLAR * 6 // 100, None, None)


def test_the_consoles_usage_has_every_bucket_of_the_cache() -> None:
    data = csv_of(ANTHROPIC_USAGE_HEADER, anthropic_row(100, 20, 3, 7))
    line = one(data)
    assert (line.model, line.usage, line.requests) == (
        "claude-haiku-4-5-20251001",
        usage(100, 3, 20, 7),
        None,
    )
    assert (line.owner, line.service_tier) == ("my key of Default", None)


def test_the_consoles_costs_are_dollars_to_the_cent() -> None:
    data = csv_of(
        ANTHROPIC_COSTS_HEADER, anthropic_cost("input_cache_write_5m", "0.19", listed="0.38")
    )
    line = one(data)
    assert (line.model, line.bucket, line.rounded) == (
        "Claude Haiku 4.5",
        "cache_write_tokens",
        True,
    )
    assert (line.cost_femto, line.list_femto) == (DOLLAR * 19 // 100, DOLLAR * 38 // 100)


def test_anthropics_cost_report_is_in_cents() -> None:
    result = {
        "amount": "123.78912",
        "currency": "USD",
        "cost_type": "tokens",
        "model": "claude-haiku-4-5-20251001",
        "token_type": "cache_creation.ephemeral_1h_input_tokens",
        "service_tier": "standard",
        "workspace_id": None,
    }
    line = one(json_of(anthropic_page(result)))
    assert (line.cost_femto, line.bucket) == (1_237_891_200_000_000, "cache_write_long_tokens")
    fee = one(json_of(anthropic_page({**result, "cost_type": "web_search", "model": None})))
    assert (fee.fee, fee.model, fee.bucket) == ("web_search", None, None)


def test_anthropics_usage_report_tells_both_lifetimes() -> None:
    result = {
        "uncached_input_tokens": 1500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "cache_read_input_tokens": 200,
        "output_tokens": 500,
        "server_tool_use": {"web_search_requests": 10},
        "model": "claude-haiku-4-5",
        "service_tier": "batch",
    }
    line = one(json_of(anthropic_page(result)))
    assert line.usage is not None
    assert (line.usage.cache_write_long_tokens, line.usage.total_input_tokens) == (1000, 3200)
    assert line.batch


def test_anthropics_analytics_tell_requests_and_list_prices() -> None:
    times = {"starting_at": f"{DAY}T00:00:00Z", "ending_at": f"{NEXT_DAY}T00:00:00Z"}
    group = {"model": "claude-haiku-4-5", "api_key_id": "apikey_1", "service_tier": None}
    used = {
        "uncached_input_tokens": 10,
        "cache_creation": {"ephemeral_1h_input_tokens": 1, "ephemeral_5m_input_tokens": 2},
        "cache_read_input_tokens": 3,
        "output_tokens": 4,
        "requests": 5,
        "total_tokens": 20,
    }
    cost = {"amount": "90", "list_amount": "100", "currency": "USD", "requests": 5}
    rows = [{**times, "group": group, "usage": used}, {**times, "group": group, "cost": cost}]
    counts, costs = read(json_of(*({"data": [row], "has_more": False} for row in rows))).lines
    assert (counts.requests, counts.owner) == (5, "apikey_1")
    assert (costs.cost_femto, costs.list_femto) == (DOLLAR * 9 // 10, DOLLAR)


def test_days_on_which_nothing_was_used_are_told_too() -> None:
    of_csv = csv_of(OPENAI_USAGE_HEADER, openai_row(1, 1, 0, 1), f"{times(2)}{',' * 11}")
    assert read(of_csv).days == (DAY, NEXT_DAY, "2026-01-03")
    bare = csv_of("start_time,end_time,start_time_iso,end_time_iso", times())
    for empty in (bare, json_of(openai_page()), json_of(anthropic_page())):
        assert (read(empty).lines, read(empty).days) == ((), (DAY,))


def test_minutes_and_keys_are_added_up_by_day() -> None:
    minute = f"{STARTS_AT + 600},{STARTS_AT + 660},x,x,proj_a,3.0,user-a,key_b,m,FALSE,default,5.0,1.0,0,5"
    lines = read(csv_of(OPENAI_USAGE_HEADER, openai_row(1, 2, 0, 1), minute)).lines
    assert [(line.day, line.requests) for line in lines] == [(DAY, 1), (DAY, 3)]


@pytest.mark.parametrize(
    "pages",
    [
        (openai_page(openai_result(1, 2, 0, 1)), openai_page(openai_result(3, 4, 0, 1), day=1)),
        ([openai_page(openai_result(1, 2, 0, 1)), openai_page(openai_result(3, 4, 0, 1), day=1)],),
    ],
)
def test_pages_may_stand_in_a_list_or_one_after_the_other(pages: tuple[object, ...]) -> None:
    export = read(json_of(*pages))
    assert (len(export.lines), export.days, export.is_whole) == (2, (DAY, NEXT_DAY), True)


def test_pages_that_are_missing_are_a_warning() -> None:
    page = openai_page(openai_result(1, 2, 0, 1), has_more=True)
    export = read(json_of(page))
    assert not export.is_whole
    assert "has_more" in export.warnings[0]
    assert read(json_of(page, openai_page(openai_result(9, 9, 0, 9), day=1))).is_whole


def test_a_row_that_is_there_twice_counts_once_and_is_told() -> None:
    row = openai_row(1, 2, 0, 1)
    export = read(csv_of(OPENAI_USAGE_HEADER, row, openai_row(1, 3, 0, 1), row))
    assert len(export.lines) == 2
    assert export.warnings == ("file1 line 4 is the same as file1 line 2, and counts once",)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "line feeds": lambda data: data.replace(b"\r\n", b"\n"),
    "semicolons": lambda data: data.replace(b",", b";"),
    "tabs": lambda data: data.replace(b",", b"\t"),
    "thousands": lambda data: data.replace(b"59200.0", b'"59,200"'),
    "quotes": lambda data: b'"' + data.replace(b"\r\n", b'"\r\n"').replace(b",", b'","')[:-1],
    "blank lines": lambda data: data.replace(b"\r\n", b"\r\n\r\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_spreadsheet_does_to_a_file_changes_nothing(change: str) -> None:
    plain = csv_of(OPENAI_USAGE_HEADER, openai_row(10, 59_200, 5_760, 10_646))
    assert one(CHANGES[change](plain)).usage == one(plain).usage


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "file1: it is empty"),
        (b" \n ", "file1: it is empty"),
        (b"PK\x03\x04\0\0", "it is no text"),
        (b"start_time\xff\n", "file1 line 1: it is not text in UTF-8"),
        (OPENAI_USAGE_HEADER.encode(), "it has a header and no rows"),
        (csv_of("a,b,a", "1,2,3"), "two columns have the name a"),
        (
            csv_of(OPENAI_USAGE_HEADER, openai_row(1, 2, 0, 1)[:70]),
            "line 2: it has 4 columns where",
        ),
        (csv_of(OPENAI_USAGE_HEADER, '"' + openai_row(1, 2, 0, 1)), "it is cut off or broken"),
        (json_of(openai_page())[:-9], "file1 line 1: it is not whole JSON"),
        (b"[" * 100_000, "it is not whole JSON"),
        (b'{"data": [NaN]}', "NaN is no number"),
        (
            b'{"error": {"message": "no"}}',
            "it is no page of a usage or costs API, which has data: error",
        ),
        (b"[1]", "it is no page of a usage or costs API"),
        (b'{"data": [1]}', "file1 page 1 bucket 1: it is no bucket of time"),
        (b'{"data": [{"results": [1]}]}', "file1 page 1 bucket 1 result 1: it is no result"),
    ],
)
def test_a_file_that_is_broken_is_refused_with_its_place(data: bytes, told: str) -> None:
    assert told in refusal(data)


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert "more than 50 MB; export days, not minutes" in refusal(bytes(50_000_001))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (openai_row(1, -2, 0, 1), "line 2: input_tokens is '-2.0', which is no count"),
        (
            openai_row(1, 10**16, 0, 1),
            "input_tokens is 10000000000000000.0, which is beyond reason",
        ),
        (openai_row(1, 2, 3, 1), "3 of 2 input tokens are cached"),
        (openai_row(1, 2, 0, 1).replace("1767225600", "1/1/2026"), "has a spreadsheet changed it?"),
        (openai_row(1, 2, 0, 1).replace("1767312000", "1767225600"), "it ends before it begins"),
        (openai_row(1, 2, 0, 1).replace("1767312000", "1767830400"), "export by the day"),
        (openai_row(1, 2, 0, 1).replace(",2.0,", ",2.5,"), "input_tokens is '2.5'"),
    ],
)
def test_a_count_that_cannot_be_meant_is_refused_with_its_line(row: str, told: str) -> None:
    assert told in refusal(csv_of(OPENAI_USAGE_HEADER, row))


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("-0.5", "line 2: amount_value is -0.5: a credit or a refund is no usage"),
        ('"1.234,56"', "amount_value is '1.234,56', which is no amount"),
        ("2e9", "amount_value is 2e9, which is beyond reason"),
        ("1e999", "beyond reason"),
        ("nan", "which is no amount"),
    ],
)
def test_an_amount_that_cannot_be_meant_is_refused_with_its_line(amount: str, told: str) -> None:
    assert told in refusal(csv_of(OPENAI_COSTS_HEADER, openai_cost(amount, "gpt-5.5, input")))


def test_other_money_than_dollars_is_refused() -> None:
    rows = [
        openai_cost("1", "gpt-5.5, input"),
        openai_cost("1", "gpt-5.5, output").replace("usd", "eur"),
    ]
    assert "line 3: its currency is eur" in refusal(csv_of(OPENAI_COSTS_HEADER, *rows))


def test_an_unknown_format_is_refused_with_what_was_found_and_what_is_known() -> None:
    told = refusal(csv_of("date,slug,usage", "2026-01-01,x,1"))
    assert "file1 line 2: its format is not known. Its fields are: date, slug, usage." in told
    assert all(each.name in told for each in FORMATS)


def test_a_format_that_lost_a_column_is_unknown_rather_than_zero() -> None:
    data = csv_of(OPENAI_USAGE_HEADER, openai_row(1, 2, 0, 1)).replace(b"input_tokens,", b"tokens,")
    assert "its format is not known" in refusal(data)


def test_files_of_two_providers_are_not_one_export() -> None:
    openai = csv_of(OPENAI_USAGE_HEADER, openai_row(1, 2, 0, 1))
    anthropic = csv_of(ANTHROPIC_USAGE_HEADER, anthropic_row(1, 0, 0, 1))
    assert "are of two providers" in refusal(openai, anthropic)


def test_more_than_a_year_is_refused() -> None:
    late = openai_row(1, 2, 0, 1).replace(str(STARTS_AT), str(STARTS_AT + 500 * DAY_SECONDS))
    late = late.replace(str(STARTS_AT + DAY_SECONDS), str(STARTS_AT + 501 * DAY_SECONDS))
    data = csv_of(OPENAI_USAGE_HEADER, openai_row(1, 2, 0, 1), late)
    assert "more than 400 days" in refusal(data)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_no_format_is_taken_for_another(known: Any) -> None:
    assert recognise(known.recognised_by) is known


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("gpt-5.5-2026-04-23", "gpt-5-5"),
        ("gpt-5.5", "gpt-5-5"),
        ("Claude Haiku 4.5", "claude-haiku-4-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet"),
        ("gpt-5.5-mini", "gpt-5-5-mini"),
    ],
)
def test_snapshots_and_names_on_a_page_are_one_family(name: str, of: str) -> None:
    assert family(name) == of


def test_a_line_item_without_a_bucket_that_is_known_is_none() -> None:
    assert line_item("gpt-image-2.5-flare image, output") is None
    assert line_item("gpt-5-nano, input_tokens") == ("gpt-5-nano", "input_tokens", None)


@given(st.integers(0, 10**15), st.booleans())
def test_every_count_is_read_as_it_was_written(count: int, grouped: bool) -> None:
    text = f"{count:,}" if grouped else f"{count}.0"
    assert whole(text, "here", "field") == count


@given(st.decimals(0, 10**9, places=12))
def test_no_amount_loses_a_digit(amount: Decimal) -> None:
    told = femto(f"{amount:f}", "here", "field", is_cents=False)
    assert Decimal(told) / DOLLAR == amount
    assert femto(f"{amount:f}", "here", "field", is_cents=True) == told // 100


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_nothing_that_is_no_export_is_read_as_one(data: str | bytes) -> None:
    file = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    with pytest.raises(Misconfigured):
        read(file)


KEYS = st.text() | st.sampled_from(
    ["data", "results", "start_time", "end_time", "amount", "object"]
)
PAGES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


def page_of(results: object) -> dict[str, object]:
    """Return a page as it may look where the results are anything."""
    return {"data": [{"results": results}]}


@given(PAGES | st.builds(page_of, PAGES))
def test_no_json_breaks_the_reader(page: object) -> None:
    with suppress(Misconfigured):
        assert read(json.dumps(page).encode()).lines == ()


def test_a_bucket_that_does_not_say_when_it_begins_is_of_no_format() -> None:
    assert "its format is not known" in refusal(b'{"data": [{"end_time": 1767312000}]}')

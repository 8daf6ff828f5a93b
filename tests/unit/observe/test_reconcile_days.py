"""Days that an export counts otherwise, and what is not in it yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from callgate.store import Store
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW
from tests.unit.observe.bookings import (
    A_COST,
    DAY,
    NOON,
    SNAPSHOT,
    activity,
    book,
    charged,
    compare,
    costs,
    kinds,
    only,
    row,
)
from tests.unit.observe.exported import (
    json_of,
    openai_cost,
    openai_page,
    openai_result,
    openai_row,
)


async def test_what_only_the_ledger_has_is_open_once_the_day_is_long_over(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", model="gpt-5", answered_by="gpt-5-2025-08-07")
    found = compare(store, activity(row()))
    assert [(each.model, kinds(each)) for each in found.rows] == [
        ("gpt-5-2025-08-07", ["not_in_export"]),
        (SNAPSHOT, []),
    ]


@pytest.mark.parametrize(
    ("after", "told"),
    [(-1.0, "the day is not over in UTC"), (3 * 3600.0, "the day ended 3 hours ago")],
)
async def test_a_day_that_is_not_long_over_may_lack_something(
    store: Store, tmp_path: Path, after: float, told: str
) -> None:
    for call in ("c1", "c2"):
        await book(store, call)
    assert compare(store, activity(row())).is_open
    books = await SqliteStore.open(tmp_path / "x.db", clock=FakeClock(NOW + DAY + after), gate=None)
    compared = only(compare(books, activity(row())))
    assert (kinds(compared), compared.is_open) == (["not_complete"], False)
    assert told in compared.reasons[0].text
    await books.close()


async def test_pages_that_are_missing_account_for_what_is_not_there(store: Store) -> None:
    for call in ("c1", "c2"):
        await book(store, call)
    page = openai_page(openai_result(1, 120_000, 20_000, 10_000), has_more=True)
    compared = only(compare(store, json_of(page)))
    assert (kinds(compared), compared.is_open) == (["not_complete"], False)


async def test_what_left_before_midnight_may_be_counted_after_it(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", at=NOW + DAY - 60)
    await book(store, "c3", at=NOON + DAY)
    found = compare(
        store, activity(row(1), row(2, day=1)), charged([*costs(), *costs(calls=2, day=1)])
    )
    assert [(kinds(each), each.is_open) for each in found.rows] == [(["midnight"], False)] * 2
    assert (
        found.rows[0]
        .reasons[0]
        .text.startswith("1 attempt left within 10 minutes of midnight in UTC")
    )
    assert [each.difference.cost_nano for each in found.rows] == [-A_COST, A_COST]


async def test_what_left_at_noon_is_not_counted_on_another_day(store: Store) -> None:
    for n, at in enumerate((NOON, NOON, NOON + DAY)):
        await book(store, f"c{n}", at=at)
    found = compare(store, activity(row(1), row(2, day=1)))
    assert [kinds(each) for each in found.rows] == [["not_in_export"], ["not_in_ledger"]]


async def test_a_day_that_agrees_gives_the_next_nothing(store: Store) -> None:
    await book(store, "c1", at=NOW + DAY - 60)
    await book(store, "c2", at=NOON + DAY)
    almost = openai_row(1, 119_900, 20_000, 10_000)
    found = compare(store, activity(almost, row(2, day=1)))
    assert [kinds(each) for each in found.rows] == [[], ["not_in_ledger"]]


async def test_a_day_of_the_export_without_the_model_has_counted_none_of_it(store: Store) -> None:
    for n, at in enumerate((NOON, NOW + DAY - 60)):
        await book(store, f"c{n}", at=at)
    other = row(model="gpt-5-2025-08-07", day=1)
    found = compare(store, activity(row(1), other))
    assert kinds(found.rows[0]) == ["not_in_export"]


async def test_midnights_at_the_ends_of_an_export_are_looked_over(store: Store) -> None:
    await book(store, "c1", at=NOW - 60)
    await book(store, "c2", at=NOON)
    await book(store, "c3", at=NOW + DAY - 60)
    assert kinds(only(compare(store, activity(row(3))))) == ["midnight"]
    assert kinds(only(compare(store, activity(row(1))))) == ["midnight"]
    assert only(compare(store, activity(row(2)))).reasons == ()


async def test_attempts_that_failed_for_nothing_may_be_counted_as_requests(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", None, 0)
    more = openai_row(2, 120_000, 20_000, 10_000)
    found = compare(store, activity(more))
    assert (only(found).ledger.requests, found.is_open) == (1, False)
    assert kinds(only(found)) == ["not_served"]


async def test_a_fee_is_told_apart_from_tokens(store: Store) -> None:
    await book(store, "c1")
    found = compare(store, charged([*costs(), openai_cost("2.50", "web search tool calls")]))
    assert [(each.model, each.fees, kinds(each)) for each in found.rows] == [
        (SNAPSHOT, (), []),
        (None, ("web search tool calls",), ["fee"]),
    ]


async def test_days_on_which_nothing_happened_anywhere_have_no_row(store: Store) -> None:
    await book(store, "c1", None, 0)
    found = compare(store, json_of(openai_page(), openai_page(day=3)))
    assert (found.rows, found.is_open, len(found.export.days)) == ((), False, 4)

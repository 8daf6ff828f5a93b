from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.money import Money
from callgate.observe.forecast import Rate, forecast, looked_back_seconds
from callgate.store.calendar import Calendar, Span, Window

NOON = 1_767_268_800.0
"""2026-01-01T12:00:00Z."""
HOUR = 3600.0
DAY = 24 * HOUR

AMOUNTS = st.integers(0, 10**18).map(Money)


def today() -> Window:
    return Calendar(ZoneInfo("UTC")).windows(NOON)["day"]


def test_a_window_ends_with_what_is_spent_and_the_rate_times_what_is_left() -> None:
    rate = Rate(spent=Money(2_400), seconds=DAY)
    told = forecast(today(), rate, spent=Money(1_000), cap=None, now=NOON)
    assert (told.spent, told.runs_out_at) == (Money(1_000 + 1_200), None)


def test_a_cap_runs_out_when_the_rate_has_spent_the_rest() -> None:
    rate = Rate(spent=Money(2_400), seconds=DAY)
    told = forecast(today(), rate, spent=Money(1_000), cap=Money(1_600), now=NOON)
    assert told.runs_out_at == NOON + 6 * HOUR


def test_a_cap_whose_window_ends_first_does_not_run_out() -> None:
    rate = Rate(spent=Money(2_400), seconds=DAY)
    told = forecast(today(), rate, spent=Money(1_000), cap=Money(2_200), now=NOON)
    assert told.runs_out_at is None


def test_a_cap_that_is_spent_has_run_out_now() -> None:
    rate = Rate(spent=Money(1), seconds=DAY)
    told = forecast(today(), rate, spent=Money(1_001), cap=Money(1_000), now=NOON)
    assert told.runs_out_at == NOON


def test_without_spending_nothing_runs_out() -> None:
    rate = Rate(spent=Money(), seconds=DAY)
    told = forecast(today(), rate, spent=Money(5), cap=Money(10), now=NOON)
    assert (told.spent, told.runs_out_at) == (Money(5), None)


@pytest.mark.parametrize(
    ("span", "age", "seconds"),
    [
        ("hour", 90 * DAY, HOUR),
        ("day", 90 * DAY, DAY),
        ("month", 90 * DAY, 7 * DAY),
        ("month", 2 * DAY, 2 * DAY),
        ("day", 60.0, HOUR),
    ],
)
def test_the_rate_looks_back_as_far_as_there_is_something(
    span: Span, age: float, seconds: float
) -> None:
    assert looked_back_seconds(span, now=NOON, first_at=NOON - age) == seconds


def test_a_new_store_looks_back_an_hour() -> None:
    assert looked_back_seconds("month", now=NOON, first_at=None) == HOUR


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_more_spending_never_makes_money_last_longer(
    cap: Money, lately: Money, more: Money
) -> None:
    slow, fast = (
        forecast(today(), Rate(spent=spent, seconds=DAY), spent=Money(), cap=cap, now=NOON)
        for spent in (lately, lately + more)
    )
    assert fast.spent >= slow.spent
    if slow.runs_out_at is not None:
        assert fast.runs_out_at is not None
        assert fast.runs_out_at <= slow.runs_out_at

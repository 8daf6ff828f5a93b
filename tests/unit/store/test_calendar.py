"""Hours, days and months of any place: they follow one another without a gap and never overlap."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.store.calendar import SPANS, Calendar, Span, Window

ZONES: Final = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu",
    # Where clocks skip midnight, move by half an hour, and once left out a day.
    "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia",
)  # fmt: skip

INSTANTS: Final = st.integers(1_262_304_000_000_000, 1_900_000_000_000_000).map(lambda n: n / 1e6)
"""From 2010 to 2030."""

MICRO: Final = 1e-6


def window(zone: str, span: Span, at: float) -> Window:
    return Calendar(ZoneInfo(zone)).windows(at)[span]


def local(zone: str, at: float) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone))


@given(st.sampled_from(ZONES), st.sampled_from(SPANS), INSTANTS)
def test_a_window_holds_its_instant_and_the_next_begins_where_it_ends(
    zone: str, span: Span, at: float
) -> None:
    this = window(zone, span, at)
    assert this.span == span
    assert this.starts_at <= at < this.ends_at
    assert window(zone, span, this.starts_at) == window(zone, span, this.ends_at - MICRO) == this
    after, before = window(zone, span, this.ends_at), window(zone, span, this.starts_at - MICRO)
    assert (after.starts_at, before.ends_at) == (this.ends_at, this.starts_at)
    assert len({this.key, after.key, before.key}) == 3


@given(st.sampled_from(ZONES), INSTANTS)
def test_a_day_and_a_month_have_one_date_and_an_hour_is_at_most_an_hour(
    zone: str, at: float
) -> None:
    day, month = window(zone, "day", at), window(zone, "month", at)
    first, last = local(zone, day.starts_at), local(zone, day.ends_at - MICRO)
    assert first.date() == last.date() == local(zone, at).date()
    first, last = local(zone, month.starts_at), local(zone, month.ends_at - MICRO)
    assert (first.year, first.month) == (last.year, last.month)
    assert first.day == 1
    hour = window(zone, "hour", at)
    assert 0 < hour.ends_at - hour.starts_at <= 3_600


@pytest.mark.parametrize(
    ("zone", "at", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", 25),
        ("America/New_York", "2026-03-08T12:00-04:00", 23),
        ("Africa/Cairo", "2026-04-24T12:00+03:00", 23),
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30", 24.5),
        ("Asia/Kolkata", "2026-03-29T12:00+05:30", 24),
    ],
)
def test_a_day_on_which_clocks_change_is_as_long_as_it_is(zone: str, at: str, hours: float) -> None:
    day = window(zone, "day", datetime.fromisoformat(at).timestamp())
    assert day.ends_at - day.starts_at == hours * 3_600


def test_the_last_hour_of_a_day_ends_with_the_day() -> None:
    at = datetime.fromisoformat("2026-04-05T23:45+10:30").timestamp()
    hour, day = (window("Australia/Lord_Howe", span, at) for span in SPANS[:2])
    assert hour.ends_at == day.ends_at
    assert hour.ends_at - hour.starts_at == 1_800


def test_windows_are_named_by_what_a_clock_on_the_wall_says_and_known_by_their_place() -> None:
    at = datetime.fromisoformat("2026-10-25T01:30+00:00").timestamp()
    named = {
        span: (each.name, each.key)
        for span, each in Calendar(ZoneInfo("Europe/Berlin")).windows(at).items()
    }
    assert named == {
        "hour": ("2026-10-25T02:00+01:00", "hour 2026-10-25T02:00+01:00 Europe/Berlin"),
        "day": ("2026-10-25", "day 2026-10-25 Europe/Berlin"),
        "month": ("2026-10", "month 2026-10 Europe/Berlin"),
    }


def test_an_instant_less_than_a_microsecond_before_midnight_is_where_its_row_will_be() -> None:
    midnight = datetime.fromisoformat("2026-01-02T00:00+00:00").timestamp()
    nearly = midnight - 2.4e-7
    assert nearly < midnight
    for span in SPANS[:2]:
        assert window("UTC", span, nearly).starts_at == midnight


def test_one_calendar_goes_back_when_the_clock_does() -> None:
    calendar = Calendar(ZoneInfo("UTC"))
    today = calendar.windows(100_000.0)
    yesterday = calendar.windows(10_000.0)
    assert yesterday["day"].name == "1970-01-01"
    assert yesterday["month"] is today["month"]

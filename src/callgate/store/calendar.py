"""Windows of money and days: the hour, the day and the month of an instant, where one lives."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import Final, Literal

import msgspec

Span = Literal["hour", "day", "month"]

SPANS: Final[tuple[Span, ...]] = ("hour", "day", "month")

HOUR_SECONDS: Final = 3600.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One hour, day or month."""

    span: Span
    name: str
    """What people call it, such as ``2026-11-25``."""
    key: str
    """What no other window is called, such as ``day 2026-11-25 Europe/Berlin``."""
    starts_at: float
    """Seconds since 1970; it belongs to the window."""
    ends_at: float
    """Seconds since 1970; it does not."""


class Calendar:
    """Tells the windows of an instant; an instant is in one window of each span.

    Args:
        zone: The time zone of ``[gate] timezone``.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._latest: dict[Span, Window] = {}

    def windows(self, instant: float) -> dict[Span, Window]:
        """Return the windows that an instant, in seconds since 1970, falls into."""
        # As rows keep it: the last instant of a day is not rounded into the next.
        instant = round(instant, 6)
        for span in SPANS:
            known = self._latest.get(span)
            if known is None or not known.starts_at <= instant < known.ends_at:
                self._latest[span] = self._window(span, instant)
        return dict(self._latest)

    def _window(self, span: Span, instant: float) -> Window:
        today = datetime.fromtimestamp(instant, self._zone).date()
        if span == "hour":
            return self._hour(self._midnight(today), instant, self._midnight(_after(today)))
        if span == "day":
            return self._of_days(span, today.isoformat(), today, _after(today))
        first = today.replace(day=1)
        # Any day of the next month is less than 31 days after the 28th.
        last = (first + timedelta(days=31)).replace(day=1)
        return self._of_days(span, f"{first:%Y-%m}", first, last)

    def _of_days(self, span: Span, name: str, first: date, last: date) -> Window:
        return self._named(span, name, self._midnight(first), self._midnight(last))

    def _midnight(self, day: date) -> float:
        """Return the first instant of a day; where clocks skip midnight, the one they skip to."""
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()

    def _hour(self, midnight: float, instant: float, next_midnight: float) -> Window:
        """Return an hour of a day, counted from its first: one that comes twice is two."""
        starts_at = midnight + (instant - midnight) // HOUR_SECONDS * HOUR_SECONDS
        name = datetime.fromtimestamp(starts_at, self._zone).isoformat(timespec="minutes")
        return self._named("hour", name, starts_at, min(starts_at + HOUR_SECONDS, next_midnight))

    def _named(self, span: Span, name: str, starts_at: float, ends_at: float) -> Window:
        key = f"{span} {name} {self._zone}"
        return Window(span=span, name=name, key=key, starts_at=starts_at, ends_at=ends_at)


def _after(day: date) -> date:
    return day + timedelta(days=1)

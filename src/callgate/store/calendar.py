"""Windows of money and days: the hour, the day and the month of an instant, where one lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal

import msgspec

Span = Literal["hour", "day", "month"]

SPANS: Final[tuple[Span, ...]] = ("hour", "day", "month")


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One hour, day or month."""

    span: Span
    key: str
    """Its name, such as ``day 2026-11-25``."""
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
        for span in SPANS:
            known = self._latest.get(span)
            if known is None or not known.starts_at <= instant < known.ends_at:
                self._latest[span] = self._window(span, instant)
        return dict(self._latest)

    def _window(self, span: Span, instant: float) -> Window:
        if span == "hour":
            return self._hour(instant)
        local = datetime.fromtimestamp(instant, self._zone)
        first = local.date() if span == "day" else local.date().replace(day=1)
        # Any day of the next month is less than 31 days after the 28th.
        following = first + timedelta(days=1 if span == "day" else 31)
        last = following if span == "day" else following.replace(day=1)
        key = first.isoformat() if span == "day" else f"{first:%Y-%m}"
        midnight, next_midnight = (
            datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()
            for day in (first, last)
        )
        return Window(span=span, key=f"{span} {key}", starts_at=midnight, ends_at=next_midnight)

    def _hour(self, instant: float) -> Window:
        """Return the hour, by what it is called: one that comes twice in autumn is two."""
        local = datetime.fromtimestamp(instant, self._zone)
        past = local.minute * 60 + local.second + local.microsecond / 1e6
        offset = local.utcoffset() or timedelta()
        starts_at = round(instant - past, 6)
        name = local.replace(minute=0, second=0, microsecond=0, tzinfo=None)
        sign = "-" if offset < timedelta() else "+"
        shift = datetime.min.replace(tzinfo=UTC) + abs(offset)
        key = f"hour {name:%Y-%m-%dT%H}{sign}{shift:%H:%M}"
        return Window(span="hour", key=key, starts_at=starts_at, ends_at=starts_at + 3600)

"""Money, lengths of time and points in time as they are typed at a command."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import typer

from callgate.config import parse_duration
from callgate.doors.cli.screen import moment
from callgate.money import LARGEST_DOLLARS, Money

DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME: Final = re.compile(
    DAY.pattern + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
LENGTH: Final = re.compile(r"[0-9].*[a-z]")
"""A length of time has a unit; a bare number would be a year to one and seconds to another."""


def money(typed: str) -> Money:
    """Return an amount of US dollars."""
    try:
        return Money.dollars(typed)
    except ValueError as error:
        # No dollar sign here: a shell replaces "$0" by something else.
        msg = f"{typed!r} is not an amount from 0 to {LARGEST_DOLLARS:,} US dollars; write it like 0.50"
        raise typer.BadParameter(msg) from error


def duration(typed: str) -> float:
    """Return a length of time in seconds."""
    try:
        return parse_duration(typed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def instant(typed: str, *, now: float, zone: ZoneInfo, ahead: bool, is_end: bool) -> float:
    """Return a point in time, in seconds since 1970.

    Args:
        typed: A day, a time, or a length of time from now.
        now: Seconds since 1970.
        zone: Where a day begins, and what a time without an offset means.
        ahead: Whether a length leads from now into the future.
        is_end: Whether it ends something; then a day belongs to it.
    """
    if LENGTH.fullmatch(typed):
        return now + (1 if ahead else -1) * duration(typed)
    if DAY.fullmatch(typed) or TIME.fullmatch(typed):
        # No such day, such as the 31st of February, and one that no clock will reach.
        with suppress(ValueError, OverflowError):
            told = datetime.fromisoformat(typed)
            if is_end and DAY.fullmatch(typed):
                told += timedelta(days=1)
            return (told if told.tzinfo else told.replace(tzinfo=zone)).timestamp()
    msg = (
        f"{typed!r} is not a point in time; write a day (2026-11-25), a time (2026-11-25T18:00, or "
        f"with Z or +01:00 behind it; {zone.key} without), or a length from now (2h, 7d)"
    )
    raise typer.BadParameter(msg)


def period(
    since: str | None, until: str | None, *, now: float, zone: ZoneInfo, otherwise: float
) -> tuple[float, float]:
    """Return the first instant of a time, and the first after it.

    Args:
        since: What was typed for its first.
        until: What was typed for its last; it goes up to now without.
        now: Seconds since 1970.
        zone: Where days begin.
        otherwise: Its first where nothing was typed.

    Raises:
        typer.BadParameter: It ends before it begins, or cannot be understood.
    """
    first = otherwise
    if since is not None:
        first = instant(since, now=now, zone=zone, ahead=False, is_end=False)
    last = now
    if until is not None:
        last = instant(until, now=now, zone=zone, ahead=False, is_end=True)
    if first >= last:
        msg = f"--since {moment(first, zone)} is not before --until {moment(last, zone)}"
        raise typer.BadParameter(msg)
    return first, last

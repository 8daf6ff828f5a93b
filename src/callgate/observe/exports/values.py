"""Numbers, money, days and names as exports write them; what cannot be meant is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from callgate.money import FEMTO_PER_DOLLAR, LARGEST_DOLLARS
from callgate.observe.exports import Bucket, unreadable
from callgate.observe.exports.formats import TOKEN_TYPES
from callgate.observe.exports.rows import Value

MOST_TOKENS: Final = 10**15
"""A larger count is a mistake."""

GROUPED: Final = r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)"
WHOLE: Final = re.compile(rf"{GROUPED}(?:\.0+)?")
AMOUNT: Final = re.compile(rf"\$?(?:{GROUPED}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{{1,3}})?")

DATED: Final = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}$|-latest$")
"""What names a snapshot of a model, such as ``-2026-04-23`` or ``-20251001``."""

SPACED: Final = re.compile(r"[\s.]+")

LINE_ITEM: Final = re.compile(
    r"(?:(?P<tier>[\w ]+) \| )?(?P<model>[^\s,]+)(?: text)?, (?P<type>[\w ]+)(?:, long context)?"
)
"""Such as ``gpt-5.5-2026-04-23, cached input`` or ``priority | gpt-5.6, output, long context``."""

DAY_SECONDS: Final = 86_400


def whole(value: Value, place: str, field: str) -> int:
    """Return a count; where there is none it is 0."""
    if value is None:
        return 0
    text = str(value)
    if isinstance(value, bool) or not WHOLE.fullmatch(text):
        raise unreadable(place, f"{field} is {text!r}, which is no count such as 1200 or 1,200")
    number = int(Decimal(text.replace(",", "")))
    if number > MOST_TOKENS:
        raise unreadable(place, f"{field} is {text}, which is beyond reason")
    return number


def femto(value: Value, place: str, field: str, *, is_cents: bool) -> int:
    """Return an amount of money in femto-dollars, without a float on the way."""
    text = str(value)
    if text.startswith("-"):
        told = f"{field} is {text}: a credit or a refund is no usage"
        raise unreadable(place, f"{told}; export the costs without them")
    if isinstance(value, bool) or not AMOUNT.fullmatch(text):
        raise unreadable(place, f"{field} is {text!r}, which is no amount such as 0.25 or 1,250.00")
    amount = Decimal(text.removeprefix("$").replace(",", ""))
    if amount > LARGEST_DOLLARS:
        raise unreadable(place, f"{field} is {text}, which is beyond reason")
    return int((amount * FEMTO_PER_DOLLAR / (100 if is_cents else 1)).to_integral_value())


def instant(value: Value, place: str, field: str) -> datetime:
    """Return when a bucket of time begins or ends; without an offset it is meant in UTC."""
    try:
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            return datetime.fromtimestamp(int(value), UTC)
        told = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError) as error:
        what = f"{field} is {str(value)!r}, which is no day such as 2026-11-25; has a spreadsheet changed it?"
        raise unreadable(place, what) from error
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def day_of(starts_at: datetime, ends_at: datetime | None, place: str) -> str:
    """Return the day in UTC that a bucket of time lies in."""
    day = starts_at.astimezone(UTC).date()
    if ends_at is None:
        return day.isoformat()
    last = (ends_at - timedelta(seconds=1)).astimezone(UTC).date()
    if ends_at <= starts_at:
        raise unreadable(place, "it ends before it begins")
    if last != day:
        told = f"it is about the time from {starts_at.isoformat()} to {ends_at.isoformat()}"
        raise unreadable(place, f"{told}, which is not within one day in UTC; export by the day")
    return day.isoformat()


def days_between(first: str, last: str) -> tuple[str, ...]:
    """Return every day from the first to the last."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return tuple((start + timedelta(days=n)).isoformat() for n in range((end - start).days + 1))


def moved(day: str, days: int) -> str:
    """Return the day that is so many days later."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def starts_at(day: str) -> float:
    """Return the first instant of a day in UTC, seconds since 1970."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def family(model: str) -> str:
    """Return what all snapshots of a model are called: without a date, dots or blanks.

    ``Claude Haiku 4.5`` and ``claude-haiku-4-5-20251001`` are one family.
    """
    name = SPACED.sub("-", model.strip().lower())
    return DATED.sub("", name)


def line_item(text: str) -> tuple[str, Bucket, str | None] | None:
    """Return model, bucket and service tier of a line item; None where it is a fee."""
    found = LINE_ITEM.fullmatch(text.strip())
    bucket = TOKEN_TYPES.get(found["type"]) if found else None
    return None if found is None or bucket is None else (found["model"], bucket, found["tier"])

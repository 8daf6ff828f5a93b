"""Amounts, lengths of time, sizes, shares and time zones, as people write them."""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from fractions import Fraction
from itertools import pairwise
from typing import Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from callgate.money import FEMTO_PER_DOLLAR, Money

DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
BARE_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
AMOUNT: Final = re.compile(r"\$?[0-9]+(?:\.[0-9]+)?")
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LONGEST_DURATION: Final = 366 * 86_400.0

SIZE: Final = re.compile(r"([0-9]+) *(B|kB|KB|MB|GB)")
BYTES: Final = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
LARGEST_SIZE: Final = 1000**4

TOKENS_IN_A_PRICE: Final = 1_000_000


def parse_duration(value: object) -> float:
    """Return a length of time in seconds: ``"10m"``, ``"1h30m"``, ``"90s"`` or a number of seconds.

    Raises:
        ValueError: It is not one, or is not between 0 and a year.
    """
    seconds = _seconds(value)
    if seconds is None:
        msg = f'{value!r} is not a length of time; write "30s", "10m", "2h" or "1d"'
        raise ValueError(msg)
    if not 0 < seconds <= LONGEST_DURATION:
        msg = f"{value!r} is not between 0 and a year"
        raise ValueError(msg)
    return float(seconds)


def _seconds(value: object) -> float | None:
    """Return a number of seconds as it is written; None where it is no length of time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    if BARE_NUMBER.fullmatch(value):
        return float(value)
    if DURATION.fullmatch(value):
        return sum(float(n) * SECONDS[unit] for n, unit in DURATION_PART.findall(value))
    return None


def parse_money(value: object) -> Money:
    """Return an amount from ``"$0.50"``.

    Raises:
        ValueError: It is a bare number, of another currency, negative or absurd.
    """
    return Money.dollars(_quoted(value))


def parse_price(value: object) -> int:
    """Return femto-dollars for a token from dollars for a million tokens, ``"$1.25"``.

    Raises:
        ValueError: It is no such amount, or finer than a femto-dollar for a token.
    """
    dollars = Fraction(_quoted(value).removeprefix("$"))
    if dollars > TOKENS_IN_A_PRICE:
        msg = f"{value!r} is more than $1 a token"
        raise ValueError(msg)
    femto = dollars * FEMTO_PER_DOLLAR / TOKENS_IN_A_PRICE
    if femto.denominator != 1:
        msg = f"{value!r} for a million tokens is finer than a femto-dollar (10^-15 $) for a token"
        raise ValueError(msg)
    return femto.numerator


def _quoted(value: object) -> str:
    """Return an amount of US dollars as it is written: in quotes, as a bare number may be any."""
    if isinstance(value, str) and AMOUNT.fullmatch(value):
        return value
    msg = f'{value!r} is not an amount of US dollars in quotes; write it like "$0.50"'
    raise ValueError(msg)


def parse_size(value: object) -> int:
    """Return bytes from ``"32MB"`` or a whole number.

    Raises:
        ValueError: It is neither, or is not between 1 byte and 1,000 GB.
    """
    found = SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        size = int(found[1]) * BYTES[found[2]]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        msg = f'{value!r} is not a size; write "32MB" or a number of bytes'
        raise ValueError(msg)
    if not 0 < size <= LARGEST_SIZE:
        msg = f"{value!r} is not between 1 byte and 1,000 GB"
        raise ValueError(msg)
    return size


def parse_shares(value: object) -> tuple[float, ...]:
    """Return shares of a whole, ``[0.8, 0.95]``.

    Raises:
        ValueError: It is no list of numbers over 0 and up to 1, each larger than the one before.
    """
    shares = (
        [_share(one) for one in cast("list[object]", value)] if isinstance(value, list) else None
    )
    if shares is None or any(low >= high for low, high in pairwise(shares)):
        msg = f"{value!r} are not shares that rise; write them like [0.8, 0.95]"
        raise ValueError(msg)
    return tuple(shares)


def _share(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    msg = f"{value!r} is not a share, over 0 and up to 1"
    raise ValueError(msg)


def parse_zone(value: str) -> tzinfo:
    """Return a time zone of the IANA list, ``"Europe/Berlin"``, or UTC, which needs no list.

    Raises:
        ValueError: This machine does not know it.
    """
    if value == "UTC":
        return UTC
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, OSError) as error:
        # A part of a name, such as "Europe", is a folder.
        msg = f"{value!r} is not a time zone that this machine knows"
        raise ValueError(msg) from error


def full_name(pattern: str) -> str:
    """Return ``provider/model`` as ``provider:model``; a route's name stays."""
    return pattern.replace("/", ":", 1) if ":" not in pattern else pattern

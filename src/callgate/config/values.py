"""Amounts, lengths of time and sizes, as people write them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from callgate.money import FEMTO_PER_DOLLAR, Money

DURATION: Final = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d))+$")
DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LONGEST_DURATION: Final = 366 * 86_400.0

SIZE: Final = re.compile(r"(\d+)\s*(B|kB|KB|MB|GB)$")
BYTES: Final = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3}

TOKENS_IN_A_PRICE: Final = 1_000_000


def parse_duration(value: object) -> float:
    """Return a length of time in seconds: ``"10m"``, ``"1h30m"``, ``"90s"`` or a number of seconds.

    Raises:
        ValueError: It is not one, or is not between 0 and a year.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and DURATION.match(value):
        seconds = sum(float(n) * SECONDS[unit] for n, unit in DURATION_PART.findall(value))
    elif isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        seconds = float(value)
    else:
        msg = f'{value!r} is not a length of time; write "30s", "10m", "2h" or "1d"'
        raise ValueError(msg)
    if not 0 < seconds <= LONGEST_DURATION:
        msg = f"{value!r} is not between 0 and a year"
        raise ValueError(msg)
    return seconds


def parse_money(value: object) -> Money:
    """Return an amount from ``"$0.50"``.

    Raises:
        ValueError: It is a bare number, of another currency, negative or absurd.
    """
    if not isinstance(value, str):
        msg = f'{value!r} is a bare number; write US dollars in quotes, "${value}"'
        raise ValueError(msg)  # noqa: TRY004 (one kind of mistake for the one who reads it)
    return Money.dollars(value)


def parse_price(value: object) -> int:
    """Return femto-dollars for a token from dollars for a million tokens, ``"$1.25"``.

    Raises:
        ValueError: It is no such amount, or finer than a femto-dollar for a token.
    """
    if not isinstance(value, str):
        msg = f'{value!r} is a bare number; write US dollars for a million tokens in quotes, "${value}"'
        raise ValueError(msg)  # noqa: TRY004 (one kind of mistake for the one who reads it)
    try:
        dollars = Decimal(value.strip().removeprefix("$"))
    except InvalidOperation as error:
        msg = f'{value!r} is not an amount of US dollars; write it like "$1.25"'
        raise ValueError(msg) from error
    if not dollars.is_finite() or not 0 <= dollars <= TOKENS_IN_A_PRICE:
        msg = f"{value!r} is not between $0 and $1 a token"
        raise ValueError(msg)
    femto = dollars * FEMTO_PER_DOLLAR / TOKENS_IN_A_PRICE
    if femto != femto.to_integral_value():
        msg = f"{value!r} for a million tokens is finer than a femto-dollar (10^-15 $) for a token"
        raise ValueError(msg)
    return int(femto)


def parse_size(value: object) -> int:
    """Return bytes from ``"32MB"`` or a whole number.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    found = SIZE.match(value) if isinstance(value, str) else None
    if found is None:
        msg = f'{value!r} is not a size; write "32MB" or a number of bytes'
        raise ValueError(msg)
    return int(found[1]) * BYTES[found[2]]

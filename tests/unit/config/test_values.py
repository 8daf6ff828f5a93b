from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.config.values import (
    LARGEST_SIZE,
    LONGEST_DURATION,
    parse_duration,
    parse_money,
    parse_price,
    parse_size,
)
from callgate.money import FEMTO_PER_DOLLAR, LARGEST_DOLLARS, NANO_PER_DOLLAR, Money

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.from_regex(r"\A-?\$?[0-9.]{1,8}(ms|s|m|h|d|MB|)\Z"),
    st.lists(st.integers(), max_size=2),
    st.dates(),
)
MICROS = st.integers(min_value=1, max_value=int(LONGEST_DURATION * 1000))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("250ms", 0.25), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400),
     ("30", 30), (45, 45), (0.5, 0.5)],
)  # fmt: skip
def test_a_length_of_time_is_read_as_people_write_it(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@given(MICROS)
def test_a_length_of_time_means_the_same_in_each_unit(milliseconds: int) -> None:
    assert parse_duration(f"{milliseconds}ms") == pytest.approx(parse_duration(milliseconds / 1000))


@pytest.mark.parametrize(
    "written",
    ["", "ten", "-1s", "1 s", "1s ", "1s\n", "1S", "1w", "s", ".5s", "5.", "\u0663s", "1e3s", True, None,
     0, -1, float("nan"), float("inf"), 10**400, "0s", "367d", [], {}],
)  # fmt: skip
def test_what_is_no_length_of_time_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"length of time|between 0 and a year"):
        parse_duration(written)


@given(st.integers(min_value=0, max_value=10**18))
def test_an_amount_is_read_to_the_nano_dollar(nano: int) -> None:
    money = Money(nano)
    assert parse_money(str(money).replace(",", "")) == money


@pytest.mark.parametrize(
    "written",
    ["", "$", "-$5", "$-5", "€5", "5 EUR", "USD 5", "$5 ", "5,00", "$1,000", "1e3", "1_000", "+5", ".5",
     "5.", "nan", "inf", "$0x10", "\u0665", 5, 0.5, True, None, "$10000000000"],
)  # fmt: skip
def test_what_is_no_amount_of_dollars_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"\$"):
        parse_money(written)


@given(st.integers(min_value=0, max_value=10**15))
def test_a_price_is_exact_in_femto_dollars(femto: int) -> None:
    dollars = Decimal(femto).scaleb(-9)
    assert parse_price(f"${dollars:f}") == femto


def test_a_price_that_is_no_whole_femto_dollar_is_refused() -> None:
    with pytest.raises(ValueError, match="finer than a femto-dollar"):
        parse_price("$1." + "0" * 40 + "1")


def test_a_price_of_more_than_a_dollar_a_token_is_refused() -> None:
    assert parse_price("$1000000") == 10**15
    with pytest.raises(ValueError, match=r"more than \$1 a token"):
        parse_price("$1000000.000000001")


@pytest.mark.parametrize(
    ("written", "size"), [("32MB", 32_000_000), ("1 kB", 1000), ("1KB", 1000), ("5B", 5), (7, 7)]
)
def test_a_size_is_read_as_people_write_it(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written",
    [0, -1, "0MB", "1.5MB", "32MiB", "32mb", "MB", "-1B", 1.0, True, "9" * 40 + "GB", 10**30],
)
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"size|between 1 byte and"):
        parse_size(written)


def parse_nano(written: object) -> int:
    return parse_money(written).nano


@pytest.mark.parametrize(
    ("parse", "most"),
    [
        (parse_duration, LONGEST_DURATION),
        (parse_size, LARGEST_SIZE),
        (parse_price, FEMTO_PER_DOLLAR),
        (parse_nano, LARGEST_DOLLARS * NANO_PER_DOLLAR),
    ],
    ids=["duration", "size", "price", "money"],
)
@given(written=ANYTHING)
def test_whatever_stands_there_is_within_its_bounds_or_refused(
    parse: Callable[[object], float], most: float, written: object
) -> None:
    try:
        value = parse(written)
    except ValueError:
        return
    assert 0 <= value <= most

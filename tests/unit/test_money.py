"""Money is exact: it reads what it writes, adds without loss, and rounds against the spender."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.money import FEMTO_PER_NANO, LARGEST_DOLLARS, NANO_PER_DOLLAR, Money, from_femto

amounts = st.integers(0, LARGEST_DOLLARS * NANO_PER_DOLLAR)


@given(amounts)
def test_money_reads_what_it_writes(nano: int) -> None:
    assert Money.dollars(str(Money(nano))) == Money(nano)


@given(st.decimals(0, LARGEST_DOLLARS, allow_nan=False, allow_infinity=False))
def test_an_amount_is_exact_and_a_part_of_a_nano_dollar_rounds_up(dollars: Decimal) -> None:
    exact = math.ceil(Fraction(dollars) * NANO_PER_DOLLAR)
    assert Money.dollars(dollars) == Money(exact)
    assert Money.dollars(f"${dollars:f}") == Money(exact)


@given(st.lists(st.integers(-(10**24), 10**24)))
def test_sums_lose_nothing(nanos: list[int]) -> None:
    assert sum(map(Money, nanos), Money()) == Money(sum(nanos))
    assert Money() - sum(map(Money, nanos), Money()) == Money(-sum(nanos))


@given(st.integers(-(10**30), 10**30))
def test_femto_dollars_round_up_to_the_next_nano_dollar(femto: int) -> None:
    assert from_femto(femto) == Money(math.ceil(Fraction(femto, FEMTO_PER_NANO)))


@pytest.mark.parametrize(
    ("nano", "written"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (125_000, "$0.000125"),
        (500_000_000, "$0.50"),
        (1_234_500_000_000, "$1,234.50"),
        (-500_000_000, "-$0.50"),
        (-1, "-$0.000000001"),
    ],
)
def test_money_is_written_with_the_decimals_that_count(nano: int, written: str) -> None:
    assert str(Money(nano)) == written


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        ("$0.50", 500_000_000),
        ("0.5", 500_000_000),
        (".5", 500_000_000),
        ("5.", 5_000_000_000),
        (" $1,250.75 ", 1_250_750_000_000),
        ("0." + "0" * 9_999 + "1", 1),
        ("1." + "0" * 40 + "1", 1_000_000_001),
    ],
)
def test_people_write_amounts_in_several_ways(written: str, nano: int) -> None:
    assert Money.dollars(written) == Money(nano)


@pytest.mark.parametrize(
    "written",
    ["", "$", ".", "$.", "free", "-1", "-$1", "$-1", "1e3", "1_000", "1,00", "1,0000", ",100", "€5",
     "0x10", "NaN", "Infinity", "1.2.3", "1,234.5,6", "\u0661\u0662", "5 dollars", "$$5"],
)  # fmt: skip
def test_what_is_no_amount_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match=r'is not an amount of US dollars; write it like "\$0.50"'):
        Money.dollars(written)


@pytest.mark.parametrize(
    "amount",
    ["1000000000.000000001", "9" * 30, Decimal(-1), Decimal("NaN"), Decimal("Infinity"),
     Decimal("-Infinity"), Decimal("1e999999")],
)  # fmt: skip
def test_an_amount_beyond_reason_is_refused(amount: str | Decimal) -> None:
    with pytest.raises(ValueError, match=r"is not between \$0 and \$1,000,000,000"):
        Money.dollars(amount)


def test_the_least_and_the_largest_amount_are_taken() -> None:
    assert Money.dollars("$1,000,000,000") == Money(10**18)
    assert Money.dollars(Decimal("1e-999999")) == Money(1)


def test_nine_of_the_largest_amounts_fit_into_64_bits() -> None:
    assert 9 * Money.dollars(str(LARGEST_DOLLARS)).nano < 2**63


def test_money_compares_with_money_only() -> None:
    assert Money(1) < Money(2) <= Money(2)
    assert max(Money(3), Money(5)) == Money(5)
    number: Any = 1
    assert Money(1) != number
    with pytest.raises(TypeError):
        sorted([Money(1), number])


def test_money_survives_being_written_as_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Money(7)), type=Money) == Money(7)

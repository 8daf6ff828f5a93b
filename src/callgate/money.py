"""Money as an exact whole number of nano-dollars; prices as whole femto-dollars."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

import msgspec

NANO_PER_DOLLAR: Final = 1_000_000_000
FEMTO_PER_NANO: Final = 1_000_000
FEMTO_PER_DOLLAR: Final = NANO_PER_DOLLAR * FEMTO_PER_NANO

LARGEST_DOLLARS: Final = 1_000_000_000
"""An amount over this is taken for a mistake; nine of them still fit into 64 bits."""

AMOUNT: Final = re.compile(r"\$?(?=\.?[0-9])([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)?(?:\.[0-9]*)?")
"""How people write dollars, and how ``str`` of money does: ``$0.50``, ``.5``, ``$1,250``."""

NANO_DOLLAR: Final = Decimal("1e-9")
ROUND_UP: Final = Context(prec=40, rounding=ROUND_CEILING)
"""Rounds just once, however many decimals an amount has."""


class Money(msgspec.Struct, frozen=True, order=True):
    """An amount of US dollars; never a float, so sums are exact."""

    nano: int = 0
    """Whole nano-dollars (10^-9 $)."""

    @classmethod
    def dollars(cls, amount: str | Decimal) -> Money:
        """Convert an amount in dollars, such as ``"$0.50"`` or ``"0.5"``.

        Args:
            amount: Dollars, with or without the sign. A part of a nano-dollar rounds up,
                against the spender.

        Raises:
            ValueError: The amount is not a number, is negative, or is over a billion dollars.
        """
        if isinstance(amount, Decimal):
            value = amount
        elif AMOUNT.fullmatch(amount.strip()):
            value = Decimal(amount.strip().removeprefix("$").replace(",", ""))
        else:
            msg = f'{amount!r} is not an amount of US dollars; write it like "$0.50"'
            raise ValueError(msg)
        if not value.is_finite() or not 0 <= value <= LARGEST_DOLLARS:
            msg = f"{str(amount)!r} is not between $0 and ${LARGEST_DOLLARS:,}"
            raise ValueError(msg)
        return cls(int(value.quantize(NANO_DOLLAR, context=ROUND_UP) * NANO_PER_DOLLAR))

    def __add__(self, other: Money) -> Money:
        return Money(self.nano + other.nano)

    def __sub__(self, other: Money) -> Money:
        return Money(self.nano - other.nano)

    def __str__(self) -> str:
        """Return all nine decimals that count, and at least two: ``$0.50``, ``$0.000125``."""
        sign, nano = ("-", -self.nano) if self.nano < 0 else ("", self.nano)
        whole, part = divmod(nano, NANO_PER_DOLLAR)
        return f"{sign}${whole:,}.{f'{part:09d}'.rstrip('0').ljust(2, '0')}"


def from_femto(femto: int) -> Money:
    """Return ``femto`` femto-dollars as money, rounded up once, against the spender."""
    return Money(-(-femto // FEMTO_PER_NANO))

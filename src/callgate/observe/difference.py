"""One day and model on which the ledger and an export differ, while it is found out why."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal

import msgspec

from callgate.money import NANO_PER_DOLLAR, Money, from_femto
from callgate.observe.sides import NOTHING, TOKENS, Amounts, ExportSide, LedgerSide
from callgate.pricing import Price

ReasonKind = Literal[
    "midnight", "running", "estimated", "unknown_cost", "rounded", "discount", "service_tier",
    "price_changed", "not_served", "not_complete",
    "batch", "not_in_ledger", "not_in_export", "other_price", "fee", "unexplained",
]  # fmt: skip
"""Those of the second line leave the difference open: somebody must look."""

FLOOR_NANO: Final = NANO_PER_DOLLAR // 100
"""A difference of a cent or less is none, however small the amounts are."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is a difference, and how much of it."""

    kind: ReasonKind
    text: str
    accounts_for: Amounts
    """The part of the difference that needs nobody any more; nothing where it is left open."""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """Which differences are none."""

    share: Decimal
    """Of the larger side, 0 to 1."""

    def passes(self, difference: int, larger: int, *, floor: int = 0) -> bool:
        """Whether a difference is small enough beside the amounts that differ."""
        return abs(difference) <= max(int(self.share * abs(larger)), floor)


class Case(msgspec.Struct, kw_only=True):
    """One day and model that differs, while its reasons are looked for."""

    day: str
    model: str | None
    relatives: tuple[str, ...]
    """Snapshots of the same model that the export has on this day, if this one is none of them."""
    ledger: LedgerSide
    export: ExportSide
    told: tuple[str, ...]
    """The fields that the export tells at all."""
    price: Price | None
    priced_as: str
    """``provider:model``, under which the settings may price it."""
    tolerance: Tolerance
    may_grow: str | None
    """Why the export may not have everything yet."""
    left: Amounts
    """What no reason accounts for so far: the export's amounts less the ledger's."""

    def has(self, name: str) -> bool:
        """Whether a field still differs."""
        left = getattr(self.left, name)
        mine, theirs = getattr(self.ledger.amounts, name), getattr(self.export.amounts, name)
        larger = max(mine, theirs)
        floor = FLOOR_NANO if name == "cost_nano" else 0
        return name in self.told and not self.tolerance.passes(left, larger, floor=floor)

    @property
    def has_tokens(self) -> bool:
        """Whether tokens still differ by more than a cent's worth."""
        if not any(self.has(name) for name in TOKENS):
            return False
        worth = self.worth(self.left)
        return worth is None or worth > FLOOR_NANO

    @property
    def is_open(self) -> bool:
        """Whether anything still differs that costs money."""
        more_requests = self.left.requests > 0 and self.has("requests")
        return self.has("cost_nano") or self.has_tokens or more_requests

    def worth(self, amounts: Amounts) -> int | None:
        """Return what tokens cost at our price, more or fewer of them; None without a price."""
        if self.price is None:
            return None
        rates = self.price.rates
        femto = (
            abs(amounts.input_tokens) * rates.input_femto
            + abs(amounts.cache_read_tokens) * rates.cache_read_femto
            + abs(amounts.cache_write_tokens) * rates.cache_write_femto
            + abs(amounts.output_tokens) * rates.output_femto
        )
        return from_femto(femto).nano


def reason_of(kind: ReasonKind, text: str, accounts_for: Amounts = NOTHING) -> Reason:
    """Return a reason; one that accounts for nothing leaves the difference open."""
    return Reason(kind=kind, text=text, accounts_for=accounts_for)


def counted(count: int, what: str) -> str:
    """Return how many of something there are, in words."""
    return f"{count:,} {what}{'' if abs(count) == 1 else 's'}"


def attempts(count: int) -> str:
    """Return how many attempts, in words."""
    return counted(count, "attempt")


def usd(nano: int) -> str:
    """Return an amount, to a millionth of a dollar."""
    return str(Money(round(nano, -3) or nano))


def are(count: int) -> str:
    """Return the verb for so many."""
    return "is" if count == 1 else "are"

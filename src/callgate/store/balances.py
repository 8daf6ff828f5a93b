"""What is left at whoever is paid in advance, as it was last told."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from callgate.money import Money

BalanceSource = Literal["reply", "refusal", "look-up", "settings", "operator"]
"""What told it: an answer that was paid for, one that there was too little for, a question, the
``credit`` of the settings, or somebody at the command line."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What an account had at a moment, as its keeper told."""

    account: str
    """Whose account: ``platform:NAME`` or ``provider:NAME``."""
    left: Money
    source: BalanceSource
    seen_at: float
    """Seconds since 1970."""


class Balances(Protocol):
    """What a store knows of them."""

    def note_balance(self, balance: Balance, /) -> Future[None]:
        """Keep what an account has, unless something later is known.

        What the settings say counts from when they first say it: the same amount again is no news.
        """
        ...

    def balances(self) -> Sequence[Balance]:
        """Return what every account was last known to have, in the order of their names."""
        ...

"""What is left at whoever is paid in advance, as it was last told."""

from __future__ import annotations

from typing import Literal

import msgspec

from callgate.money import Money

BalanceSource = Literal["reply", "refusal", "look-up"]
"""What told it: an answer that was paid for, one that there was too little for, or a question."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What an account had at a moment, as its keeper told."""

    account: str
    """Whose account: ``platform:NAME`` or ``provider:NAME``."""
    left: Money
    source: BalanceSource
    seen_at: float
    """Seconds since 1970."""

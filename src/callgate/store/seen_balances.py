"""Balances as rows: the latest of each account."""

from __future__ import annotations

from typing import Final

from callgate.money import Money
from callgate.store.balances import Balance
from callgate.store.rows import MICROS, micros
from callgate.store.sql import Cursor

# Two answers may overtake one another; the later word counts. Settings are read again and again.
NOTE: Final = """
    INSERT INTO balances (account, source, left_nano, seen_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, source) DO UPDATE SET left_nano = excluded.left_nano,
        seen_at = excluded.seen_at
    WHERE excluded.seen_at >= balances.seen_at
        AND (excluded.source <> 'settings' OR excluded.left_nano <> balances.left_nano)
"""

READ: Final = "SELECT account, source, left_nano, seen_at FROM balances ORDER BY account, seen_at"


def note(cursor: Cursor, balance: Balance) -> None:
    """Write a balance, unless a later one is there."""
    cursor.execute(
        NOTE, (balance.account, balance.source, balance.left.nano, micros(balance.seen_at))
    )


def read(cursor: Cursor) -> list[Balance]:
    """Return the latest balance of each account, by name."""
    latest = {
        account: Balance(account=account, left=Money(left), source=source, seen_at=seen_at / MICROS)
        for account, source, left, seen_at in cursor.execute(READ).fetchall()
    }
    return list(latest.values())

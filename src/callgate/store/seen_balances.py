"""Balances as rows: the latest of each account."""

from __future__ import annotations

from typing import Final

from callgate.money import Money
from callgate.store.balances import Balance
from callgate.store.rows import MICROS, micros
from callgate.store.sql import Cursor

# Two answers may overtake one another; the later word counts.
NOTE: Final = """
    INSERT INTO balances (account, left_nano, source, seen_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (account) DO UPDATE SET left_nano = excluded.left_nano,
        source = excluded.source, seen_at = excluded.seen_at
    WHERE excluded.seen_at >= balances.seen_at
"""

READ: Final = "SELECT account, left_nano, source, seen_at FROM balances ORDER BY account"


def note(cursor: Cursor, balance: Balance) -> None:
    """Write a balance, unless a later one is there."""
    cursor.execute(
        NOTE, (balance.account, balance.left.nano, balance.source, micros(balance.seen_at))
    )


def read(cursor: Cursor) -> list[Balance]:
    """Return every balance, by account."""
    return [
        Balance(account=account, left=Money(left), source=source, seen_at=seen_at / MICROS)
        for account, left, source, seen_at in cursor.execute(READ).fetchall()
    ]

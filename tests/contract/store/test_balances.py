"""What accounts were last known to have."""

from __future__ import annotations

import msgspec

from callgate.money import Money
from callgate.store import Balance, Store
from tests.contract.store.making import NOW

FIRST = Balance(account="platform:patch", left=Money(500), source="reply", seen_at=NOW)


async def test_the_latest_word_about_an_account_counts(store: Store) -> None:
    later = msgspec.structs.replace(FIRST, left=Money(400), source="refusal", seen_at=NOW + 1)
    for balance in (FIRST, later, FIRST):
        await store.note_balance(balance)
    assert store.balances() == [later]


async def test_accounts_are_told_apart_and_by_name(store: Store) -> None:
    assert store.balances() == []
    other = msgspec.structs.replace(FIRST, account="platform:another")
    await store.note_balance(FIRST)
    await store.note_balance(other)
    assert store.balances() == [other, FIRST]

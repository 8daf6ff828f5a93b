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


async def test_what_settings_say_counts_from_when_they_first_say_it(store: Store) -> None:
    said = msgspec.structs.replace(FIRST, source="settings")
    again = msgspec.structs.replace(said, seen_at=NOW + 5)
    await store.note_balance(said)
    await store.note_balance(again)
    assert store.balances() == [said]
    topped_up = msgspec.structs.replace(again, left=Money(900))
    await store.note_balance(topped_up)
    assert store.balances() == [topped_up]


async def test_settings_that_are_read_again_do_not_undo_what_somebody_has_said(
    store: Store,
) -> None:
    said = msgspec.structs.replace(FIRST, source="settings")
    by_hand = msgspec.structs.replace(FIRST, source="operator", left=Money(7), seen_at=NOW + 1)
    for balance in (said, by_hand, msgspec.structs.replace(said, seen_at=NOW + 2)):
        await store.note_balance(balance)
    assert store.balances() == [by_hand]

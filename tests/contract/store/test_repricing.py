"""Prices in the store: their numbers are kept, and history is priced anew without a tear in the books."""

from __future__ import annotations

from typing import Any

import msgspec

from callgate.call import Candidate
from callgate.money import Money
from callgate.store import NotedPrice, PastAttempt, Repricing, Store
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    NOW,
    USAGE,
    ask,
    make_intent,
    make_limit,
    make_settlement,
    make_task,
    windows_of,
)
from tests.contract.store.test_admission import balance
from tests.contract.store.test_settlement import call_of


async def settled(store: Store, call: str = "c1", *, at: float = NOW + 1, **more: Any) -> None:
    """Have an attempt admitted and settled."""
    await store.admit(ask(call, task="t1", at=at))
    await store.settle(msgspec.structs.replace(make_settlement(f"{call}.1", at=at + 2), **more))


def past(store: Store, **more: Any) -> list[PastAttempt]:
    asked: dict[str, Any] = {
        "after": 0,
        "since": 0.0,
        "until": NOW + 10**6,
        "model": None,
        "limit": 10,
    }
    return list(store.past_attempts(**{**asked, **more}))


def anew(attempt: PastAttempt, nano: int) -> Repricing:
    return Repricing(seq=attempt.seq, was=attempt.cost, cost=Money(nano), price_version="v2")


async def test_the_numbers_of_a_price_are_kept_as_they_were_first_noted(store: Store) -> None:
    first, second = (
        NotedPrice(version="v1", numbers=numbers, noted_at=NOW) for numbers in ("{}", "[]")
    )
    await store.note_prices([first, msgspec.structs.replace(first, version="v2")])
    await store.note_prices([second])
    assert store.noted_prices(["v1", "v2", "v3"]) == {"v1": "{}", "v2": "{}"}
    assert store.noted_prices([]) == {}


async def test_a_settlement_tells_its_price_its_service_tier_and_what_no_price_tells(
    store: Store,
) -> None:
    await settled(store, service_tier="flex", unpriced="searches", price_version="v1 flex")
    await settled(store, "c2")
    told, untold = call_of(store).attempts[0], call_of(store, "c2").attempts[0]
    assert (told.service_tier, told.unpriced, told.price_version) == ("flex", "searches", "v1 flex")
    assert (untold.service_tier, untold.unpriced, untold.price_version) == (None, None, "v1")
    assert untold.first is None


async def test_the_past_is_told_in_its_order_and_in_pieces(store: Store) -> None:
    for n in range(5):
        await settled(store, f"c{n}", at=NOW + n)
    await store.admit(ask("running", task="t1"))
    first = past(store, limit=3)
    rest = past(store, limit=3, after=first[-1].seq)
    assert [each.sent_at - NOW for each in (*first, *rest)] == [0, 1, 2, 3, 4]
    assert [each.sent_at - NOW for each in past(store, since=NOW + 1, until=NOW + 3)] == [1, 2]


async def test_the_past_is_told_by_model_however_it_is_called(store: Store) -> None:
    await settled(store)
    other = Candidate(provider="anthropic", model="claude")
    await store.admit(ask("c2", task="t1", candidate=other))
    await store.settle(make_settlement("c2.1"))
    for name in ("claude", "anthropic:claude"):
        assert [each.candidate for each in past(store, model=name)] == [other]
    assert past(store, model="laude") == []


async def test_a_past_attempt_tells_all_that_its_price_depends_on(store: Store) -> None:
    await settled(store, service_tier="flex", unpriced="searches")
    (told,) = past(store)
    assert (told.usage, told.cost, told.estimated) == (USAGE, Money(40), False)
    assert (told.service_tier, told.unpriced, told.price_version) == ("flex", "searches", "v1")


async def test_usage_is_whole_only_where_the_reply_came_to_its_end(store: Store) -> None:
    await settled(store, "c1", cost=None, state="ok")
    await store.admit(make_intent(make_task("t2"), "c2", nano=None))
    await store.settle(msgspec.structs.replace(make_settlement("c2.1", cost=None), state="failed"))
    await store.admit(make_intent(make_task("t2"), "c3", nano=None))
    await store.settle(msgspec.structs.replace(make_settlement("c3.1", cost=None), usage=None))
    first, second, third = past(store)
    assert (first.finished, first.estimated) == (True, True)
    assert (second.finished, second.cost) == (False, None)
    assert (third.finished, third.usage) == (True, None)


async def test_history_priced_anew_leaves_the_books_balanced(store: Store) -> None:
    limits = [
        make_limit("gate", "budget_per_day", 10**6),
        make_limit("user:*", "budget_per_month", 10**6),
    ]
    await store.load_limits(limits, 1)
    await store.create_task(make_task("above"))
    await store.admit(ask("c1", task="t1", parent="above"))
    await store.settle(make_settlement("c1.1", cost=40))
    await store.admit(ask("c2", task="t2"))
    await store.settle(make_settlement("c2.1", cost=40))
    one, two = past(store)
    assert await store.reprice([anew(one, 70), anew(two, 20)]) == 2
    spent = [balance(store, task)[0] for task in ("t1", "above", "t2")]
    assert spent == [70, 70, 20]
    used = {row.limit.scope: row.used for row in store.limits(windows_of(NOW + 1))}
    assert used == {"gate": 90, "user:*": 90}
    assert store.verify() == []


async def test_a_row_keeps_what_it_was_first_booked_at(store: Store) -> None:
    await settled(store)
    await store.reprice([anew(past(store)[0], 70)])
    await store.reprice([anew(past(store)[0], 90)])
    (attempt,) = call_of(store).attempts
    assert (attempt.cost, attempt.price_version, attempt.estimated) == (Money(90), "v2", False)
    assert attempt.first is not None
    assert (attempt.first.cost, attempt.first.version) == (Money(40), "v1")


async def test_a_cost_that_was_unknown_is_booked_from_nothing(store: Store) -> None:
    await store.admit(make_intent(make_task(), nano=None, price_version=None))
    await store.settle(make_settlement(cost=None))
    assert await store.reprice([anew(past(store)[0], 70)]) == 1
    (attempt,) = call_of(store).attempts
    assert attempt.first is not None
    assert (attempt.first.cost, attempt.first.version, balance(store)) == (None, None, (70, 0))
    assert store.verify() == []


async def test_what_changed_meanwhile_is_left_alone(store: Store) -> None:
    await settled(store, "c1")
    await settled(store, "c2", estimated=True)
    one, two = past(store)
    gone = msgspec.structs.replace(one, seq=10**6)
    stale = msgspec.structs.replace(anew(one, 70), was=Money(41))
    assert await store.reprice([stale, anew(two, 70), anew(gone, 70)]) == 0
    assert (balance(store), store.verify()) == ((80, 0), [])


async def test_the_same_cost_by_another_price_moves_no_money(store: Store) -> None:
    await settled(store)
    assert await store.reprice([anew(past(store)[0], 40)]) == 1
    assert (call_of(store).attempts[0].price_version, balance(store)) == ("v2", (40, 0))


async def test_a_store_without_a_gate_prices_anew_beside_one(
    database: Database, store: Store
) -> None:
    await settled(store)
    beside = await database.open(None)
    await beside.reprice([anew(past(beside)[0], 70)])
    await beside.close()
    await settled(store, "c2")
    assert (balance(store), store.verify()) == ((110, 0), [])

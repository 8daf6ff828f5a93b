"""A bill above a count raises what is held for counts; one above a proven bound raises both."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callgate.call import COUNTED, Candidate
from callgate.errors import OverBudget
from callgate.store import Intent, Overrun, Raised, Store
from tests.contract.store.making import NOW, ask, make_settlement, make_task

MODEL = Candidate(provider="openai", model="gpt-5.5")


def counted(call: str, **more: Any) -> Intent:
    return ask(call, changes=(COUNTED, "counted_tokens=9"), **more)


async def pass_bound(store: Store, intent: Intent, cost: int) -> Overrun:
    """Have an attempt that holds 100 cost more."""
    await store.admit(intent)
    settlement = make_settlement(intent.attempt_id, cost=cost)
    overrun = await store.settle(msgspec.structs.replace(settlement, changes=intent.changes))
    assert overrun is not None
    return overrun


async def held(store: Store, intent: Intent) -> int:
    """Return what an attempt of 100 holds."""
    reserved = (await store.admit(intent)).reserved
    assert reserved is not None
    return reserved.nano


async def test_a_count_that_was_too_low_raises_counts_and_no_proven_bound(store: Store) -> None:
    await pass_bound(store, counted("c1"), 130)
    assert (await held(store, counted("c2")), await held(store, ask("c3"))) == (130, 100)


async def test_a_wrong_price_raises_counts_too(store: Store) -> None:
    await pass_bound(store, ask("c1"), 150)
    assert (await held(store, counted("c2")), await held(store, ask("c3"))) == (150, 150)


async def test_the_higher_of_both_holds_for_counts_and_they_are_never_multiplied(
    store: Store,
) -> None:
    await pass_bound(store, counted("c1"), 130)
    await pass_bound(store, ask("c2"), 120)
    assert (await held(store, counted("c3")), await held(store, ask("c4"))) == (130, 120)
    assert store.overruns() == [
        Raised(candidate=MODEL, thousandths=1_200),
        Raised(candidate=MODEL, thousandths=1_300, counted=True),
    ]


async def test_each_has_an_alert_of_its_own_with_its_own_remedy(store: Store) -> None:
    for call, intent in (("c1", counted), ("c2", ask)):
        await pass_bound(store, intent(call), 130)
    price, count = store.alerts(only_open=True)
    assert (price.facts["bound"], price.rule) == ("proven", "prices.openai:gpt-5.5")
    assert (count.facts["bound"], count.rule) == ("counted", None)
    assert "correct what you pay" in price.message
    assert 'bound = "proven" under [tasks.TYPE]' in count.message
    assert "1.300 times as much is held where its tokens are counted" in count.message


async def test_both_are_forgotten_at_once(store: Store) -> None:
    await pass_bound(store, counted("c1"), 130)
    await pass_bound(store, ask("c2"), 120)
    assert await store.forget_overrun(MODEL, NOW + 9)
    assert (store.overruns(), store.alerts(only_open=True)) == ([], [])
    assert (await held(store, counted("c3")), await held(store, ask("c4"))) == (100, 100)


async def test_a_refusal_says_that_a_count_is_raised(store: Store) -> None:
    await store.create_task(make_task("t-u1", budget=250))
    await pass_bound(store, counted("c1", budget=250), 130)
    with pytest.raises(OverBudget, match=r"1\.300 times its count is held for openai:gpt-5\.5"):
        await store.admit(counted("c2", budget=250))

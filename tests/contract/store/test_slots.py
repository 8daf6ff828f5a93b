"""How many run at once: nothing takes a slot but what runs, and none can leak."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callgate.errors import OverBudget, OverLimit
from callgate.store import CallEnd, GateIdentity, Grant, Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    NOW,
    ask,
    make_end,
    make_limit,
    make_refusal,
    make_settlement,
    make_task,
)


async def fits(store: Store, call: str, **more: Any) -> bool:
    """Make a call; return whether it was let through."""
    try:
        await store.admit(ask(call, **more))
    except OverLimit:
        return False
    return True


def failed(call: str) -> CallEnd:
    return CallEnd(call_id=call, state="failed", status=502, ended_at=NOW + 3)


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ("gate", None),
        ("type:research", {"type": "mail"}),
        ("user:u1", {"user": "u2"}),
        ("user:*", {"user": "u2"}),
    ],
)
async def test_so_many_tasks_run_at_once_and_a_task_makes_as_many_calls_as_it_likes(
    store: Store, scope: str, other: dict[str, Any] | None
) -> None:
    await store.load_limits([make_limit(scope, "concurrency", 2)], 1)
    assert await fits(store, "c1", task="t1")
    assert await fits(store, "c2", task="t2")
    assert not await fits(store, "c3", task="t3")
    assert await fits(store, "c4", task="t1")
    assert await fits(store, "c4", task="t1", n=2)
    assert other is None or await fits(store, "c5", task="t4", **other)


async def test_a_refusal_tells_how_many_run_and_to_look_again_soon(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "concurrency", 1, waits=True)], 1)
    assert await fits(store, "c1", task="t1")
    with pytest.raises(OverLimit, match=r"tasks\.research\.concurrency allows 1") as refused:
        await store.admit(ask("c2", task="t2"))
    reason = refused.value.reason
    assert (reason.code, reason.scope, reason.used) == ("concurrency", "type:research", 1)
    assert (refused.value.waits, refused.value.retry_after_seconds) == (True, 1.0)


@pytest.mark.parametrize("how", ["by itself", "with its last call"])
async def test_a_task_that_ends_leaves_its_slot_and_takes_one_again_with_its_next_call(
    store: Store, how: str
) -> None:
    await store.load_limits([make_limit("gate", "concurrency", 1)], 1)
    assert await fits(store, "c1", task="t1")
    if how == "by itself":
        await store.end_task("t1", NOW + 2)
    else:
        await store.settle(make_settlement("c1.1", end=make_end("c1", ends_task="t1")))
    assert await fits(store, "c2", task="t2")
    assert not await fits(store, "c3", task="t1")
    await store.end_task("t2", NOW + 3)
    assert await fits(store, "c4", task="t1")
    assert not await fits(store, "c5", task="t2")


async def test_a_task_that_was_refused_or_has_only_been_made_has_no_slot(store: Store) -> None:
    await store.load_limits([make_limit("gate", "concurrency", 1)], 1)
    await store.create_task(make_task("made"))
    await store.refuse(make_refusal("r1", task=make_task("refused")))
    assert await fits(store, "c1", task="t1")
    # Their rows are there, and that is no reason to let them in.
    assert not await fits(store, "c2", task="made")
    assert not await fits(store, "c3", task="refused")


async def test_a_call_that_is_refused_for_money_takes_no_slot(store: Store) -> None:
    await store.load_limits([make_limit("gate", "concurrency", 1)], 1)
    with pytest.raises(OverBudget):
        await store.admit(ask("c1", task="t1", budget=0))
    assert await fits(store, "c2", task="t2")


async def test_a_task_past_its_deadline_takes_no_slot(store: Store) -> None:
    await store.load_limits([make_limit("gate", "concurrency", 1)], 1)
    assert await fits(store, "c1", task="t1", deadline_at=NOW + 10)
    assert not await fits(store, "c2", task="t2", at=NOW + 9.5)
    assert await fits(store, "c3", task="t2", at=NOW + 10)


async def test_an_agent_has_so_many_calls_in_flight_and_a_retry_stays_in_its_slot(
    store: Store,
) -> None:
    await store.load_limits([make_limit("agent:researcher", "concurrency", 2)], 1)
    assert await fits(store, "c1")
    assert await fits(store, "c2")
    assert not await fits(store, "c3")
    await store.settle(make_settlement("c1.1"))
    # Its call goes on, with another attempt.
    assert not await fits(store, "c4")
    assert await fits(store, "c1", n=2)
    await store.settle(make_settlement("c1.2", end=failed("c1")))
    assert await fits(store, "c5")
    assert await fits(store, "c6", task="t2", agent="writer")


@pytest.mark.parametrize(
    ("scope", "asked"),
    [
        ("provider:openai", {}),
        ("tool:web_search", {"kind": "tool", "target": "web_search"}),
    ],
)
async def test_a_provider_and_a_tool_have_so_many_attempts_in_flight(
    store: Store, scope: str, asked: dict[str, Any]
) -> None:
    await store.load_limits([make_limit(scope, "concurrency", 2)], 1)
    assert await fits(store, "c1", **asked)
    assert await fits(store, "c2", **asked)
    assert not await fits(store, "c2", n=2, **asked)
    await store.settle(make_settlement("c1.1"))
    assert await fits(store, "c2", n=2, **asked)
    assert not await fits(store, "c3", **asked)


async def test_what_a_dead_gate_had_in_flight_takes_no_slot(
    database: Database, clock: FakeClock
) -> None:
    lost = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    limits = [
        make_limit(scope, "concurrency", 1) for scope in ("agent:researcher", "provider:openai")
    ]
    await lost.load_limits(limits, 1)
    assert await fits(lost, "c1")
    assert not await fits(lost, "c2")
    await lost.close()
    store = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    assert await fits(store, "c3")
    await store.close()


@pytest.mark.parametrize("scope", ["gate", "agent:researcher", "provider:openai", "user:*"])
async def test_gates_share_slots_whoever_comes_at_once(
    database: Database, clock: FakeClock, scope: str
) -> None:
    gates = [GateIdentity.of_this_process(started_at=clock.now()) for _ in range(3)]
    stores = [await database.open(gate) for gate in gates]
    await stores[0].load_limits([make_limit(scope, "concurrency", 7)], 1)
    asked = [stores[n % 3].admit(ask(f"c{n}", task=f"t{n}")) for n in range(60)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Grant) for answer in answers) == 7
    for store in stores:
        await store.close()

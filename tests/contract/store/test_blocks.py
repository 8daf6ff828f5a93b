"""Who is not asked for now: every gate of the store goes by the same rows."""

from __future__ import annotations

import asyncio

from callgate.store import Block, GateIdentity, Probe, Store
from callgate.store.blocks import BlockKind
from tests.contract.store.conftest import Database
from tests.contract.store.making import NOW


def make_block(
    subject: str = "first:a#x",
    *,
    until: float | None = NOW + 5,
    times: int = 1,
    kind: BlockKind = "breaker",
) -> Block:
    return Block(subject=subject, kind=kind, reason="500", times=times, since=NOW, until=until)


def told(store: Store) -> list[tuple[str, str, bool]]:
    """Return kind and scope of every alert, the oldest first, and whether it is open."""
    return [(a.kind, a.scope, a.resolved_at is None) for a in reversed(store.alerts())]


def probe(now: float) -> Probe:
    return Probe(subject="first:a#x", now=now, until=now + 60)


async def test_a_block_holds_until_it_is_lifted(store: Store) -> None:
    await store.block(make_block("b"))
    await store.block(make_block("a", until=None))
    assert store.blocks() == [make_block("a", until=None), make_block("b")]
    assert await store.unblock("a")
    assert not await store.unblock("a")
    assert store.blocks() == [make_block("b")]


async def test_of_two_blocks_the_longer_one_holds(store: Store) -> None:
    for until, times in ((NOW + 10, 2), (NOW + 5, 1), (None, 1), (NOW + 99, 3)):
        await store.block(make_block(until=until, times=times))
    assert store.blocks() == [make_block(until=None)]


async def test_nobody_tries_before_it_is_time_and_then_one_does(store: Store) -> None:
    await store.block(make_block())
    assert not await store.claim_probe(probe(NOW + 4.999))
    claims = await asyncio.gather(*(store.claim_probe(probe(NOW + 5)) for _ in range(4)))
    assert sum(claims) == 1


async def test_one_who_tried_and_never_came_back_is_followed_by_another(store: Store) -> None:
    await store.block(make_block())
    assert await store.claim_probe(probe(NOW + 5))
    assert not await store.claim_probe(probe(NOW + 64.999))
    assert await store.claim_probe(probe(NOW + 65))


async def test_a_longer_block_is_tried_anew(store: Store) -> None:
    await store.block(make_block())
    assert await store.claim_probe(probe(NOW + 5))
    await store.block(make_block(until=NOW + 10, times=2))
    assert await store.claim_probe(probe(NOW + 10))


async def test_what_is_not_blocked_and_what_only_a_person_lifts_is_not_tried(store: Store) -> None:
    assert not await store.claim_probe(probe(NOW))
    await store.block(make_block(until=None))
    assert not await store.claim_probe(probe(NOW + 10**6))


async def test_one_who_lets_go_is_followed_at_once(store: Store) -> None:
    await store.block(make_block())
    assert await store.claim_probe(probe(NOW + 5))
    await store.release_probe("first:a#x")
    assert await store.claim_probe(probe(NOW + 5))


async def test_a_block_is_told_once_until_it_is_lifted_and_then_again(store: Store) -> None:
    for times in (1, 2):
        await store.block(make_block(until=NOW + 5 * times, times=times))
    assert told(store) == [("breaker", "model:first:a", True)]
    await store.unblock("first:a#x")
    await store.block(make_block())
    assert told(store) == [("breaker", "model:first:a", False), ("breaker", "model:first:a", True)]


async def test_an_alert_says_what_since_when_and_how_to_lift_it(store: Store) -> None:
    await store.block(make_block("first#x", until=None, kind="credential"))
    (alert,) = store.alerts()
    assert (alert.severity, alert.scope, alert.rule) == (
        "critical",
        "provider:first",
        "providers.first",
    )
    assert alert.message == (
        "first is not asked since 2026-01-01T00:00:00.000000Z (500); put a good key in its place, then "
        "callgate breakers close first#x"
    )
    assert alert.facts["subject"] == "first#x"


async def test_what_becomes_another_block_is_told_as_that_and_no_more_as_the_first(
    store: Store,
) -> None:
    await store.block(make_block())
    await store.block(make_block(until=None, kind="model"))
    assert told(store) == [("breaker", "model:first:a", False), ("model", "model:first:a", True)]


async def test_what_a_person_closed_is_no_news_and_ends_what_was(store: Store) -> None:
    await store.block(make_block())
    await store.block(make_block(until=None, kind="operator"))
    assert told(store) == [("breaker", "model:first:a", False)]
    assert await store.unblock("first:a#x")


async def test_a_block_that_does_not_hold_beside_a_longer_one_is_not_told(store: Store) -> None:
    await store.block(make_block(until=None, kind="model"))
    await store.block(make_block())
    assert told(store) == [("model", "model:first:a", True)]


async def test_gates_that_find_the_same_at_once_tell_of_it_once(database: Database) -> None:
    gates = [await database.open(GateIdentity.of_this_process(started_at=NOW)) for _ in range(3)]
    found = [gate.block(make_block("first#x", until=None, kind="credential")) for gate in gates]
    await asyncio.gather(*found)
    assert told(gates[0]) == [("credential", "provider:first", True)]
    for gate in gates:
        await gate.close()

"""Who is not asked for now: every gate of the store goes by the same rows."""

from __future__ import annotations

import asyncio

from callgate.store import Block, Probe, Store
from tests.contract.store.making import NOW


def make_block(
    subject: str = "first:a#x", *, until: float | None = NOW + 5, times: int = 1
) -> Block:
    return Block(subject=subject, kind="breaker", reason="500", times=times, since=NOW, until=until)


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

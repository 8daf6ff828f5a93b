"""Tasks that go round in circles: too many calls, the same call again, tasks below tasks."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.errors import Looping
from callgate.store import Store
from tests.contract.store.making import (
    NOW,
    ask,
    make_end,
    make_limit,
    make_override,
    make_refusal,
    make_settlement,
    make_task,
)


async def fits(store: Store, call: str, **more: Any) -> bool:
    """Make a call; return whether it was let through."""
    try:
        await store.admit(ask(call, **more))
    except Looping:
        return False
    return True


async def test_a_task_makes_so_many_calls_whatever_became_of_them(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_calls", 3)], 1)
    assert await fits(store, "c1")
    await store.settle(make_settlement("c1.1", end=make_end("c1", ends_task="t-u1")))
    assert await fits(store, "c2")
    await store.refuse(make_refusal("refused", task=make_task("t-u1")))
    assert await fits(store, "c2", n=2)
    assert await fits(store, "c3")
    assert not await fits(store, "c4")
    # The call that is under way may still be tried again.
    assert await fits(store, "c3", n=2)
    assert await fits(store, "c5", task="t2")
    assert await fits(store, "c6", task="t3", type="mail")


async def test_the_refusal_tells_the_number_and_what_to_do(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_calls", 1)], 1)
    assert await fits(store, "c1")
    with pytest.raises(Looping, match="task t-u1 has made 1 calls") as refused:
        await store.admit(ask("c2"))
    reason = refused.value.reason
    assert (reason.code, reason.rule) == ("max_calls", "tasks.research.max_calls")
    assert (reason.scope, reason.limit, reason.used) == ("task:t-u1", 1, 1)
    assert "look why it goes on" in str(reason.fix)


async def test_more_calls_are_allowed_by_an_override(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_calls", 1)], 1)
    assert await fits(store, "c1")
    assert not await fits(store, "c2")
    await store.override(make_override("type:research", "max_calls", 2, until=NOW + 60))
    assert await fits(store, "c3")
    assert not await fits(store, "c4")
    assert not await fits(store, "c5", at=NOW + 61)


async def test_the_same_call_is_made_so_many_times_by_one_task(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_repeats", 2)], 1)
    for n in range(2):
        assert await fits(store, f"c{n}", fingerprint=b"same")
    with pytest.raises(Looping, match="has made this very call 2 times") as refused:
        await store.admit(ask("c2", fingerprint=b"same"))
    assert (refused.value.reason.code, refused.value.reason.used) == ("max_repeats", 2)
    assert await fits(store, "c1", n=2, fingerprint=b"same")
    assert await fits(store, "c3", fingerprint=b"other")
    assert await fits(store, "c4", fingerprint=b"same", task="t2")
    for n in range(5, 9):
        assert await fits(store, f"c{n}", fingerprint=None)


async def test_calls_that_were_made_before_there_was_a_limit_count(store: Store) -> None:
    for n in range(2):
        assert await fits(store, f"c{n}", fingerprint=b"same")
    limits = [make_limit("type:research", "max_repeats", 2), make_limit("user:*", "max_calls", 3)]
    await store.load_limits(limits, 1)
    assert not await fits(store, "c2", fingerprint=b"same")
    assert await fits(store, "c3", fingerprint=b"other")
    assert not await fits(store, "c4", fingerprint=b"another")


async def test_tasks_stand_so_deep_below_the_first(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_depth", 1)], 1)
    assert await fits(store, "c1", task="first")
    assert await fits(store, "c2", task="second", parent="first")
    with pytest.raises(Looping, match="stands 2 tasks below the first") as refused:
        await store.admit(ask("c3", task="third", parent="second"))
    assert (refused.value.reason.code, refused.value.reason.limit) == ("max_depth", 1)
    assert store.find_task("third") is None
    assert await fits(store, "c4", task="beside", parent="first")


async def test_a_task_of_depth_nothing_has_no_tasks_below(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_depth", 0)], 1)
    assert await fits(store, "c1", task="first")
    assert not await fits(store, "c2", task="second", parent="first")

"""What time ends: tasks whose deadline is over, and those that have done nothing for a while."""

from __future__ import annotations

import pytest

from callgate.store import Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import (
    NOW,
    ask,
    make_end,
    make_limit,
    make_refusal,
    make_settlement,
    make_task,
)

IDLE_SECONDS = 300.0


async def later(store: Store, clock: FakeClock, seconds: float) -> None:
    """Let time pass, and the heartbeat come."""
    clock.advance(seconds)
    await store.end_task("nobody", NOW)
    await store.end_task("nobody", NOW)


def ended_at(store: Store, task: str) -> float | None:
    found = store.find_task(task)
    assert found is not None
    return found.ended_at


async def make_a_call(store: Store, clock: FakeClock, call: str, *, task: str = "t1") -> None:
    """Begin a call now."""
    await store.admit(ask(call, task=task, at=clock.now(), started_at=clock.now()))


async def end_the_call(store: Store, clock: FakeClock, call: str) -> None:
    """End a call now."""
    end = make_end(call, ended_at=clock.now())
    await store.settle(make_settlement(f"{call}.1", end=end, at=clock.now()))


async def test_a_task_without_a_call_for_five_minutes_ends_and_leaves_its_slot(
    store: Store, clock: FakeClock
) -> None:
    await store.load_limits([make_limit("gate", "concurrency", 1)], 1)
    await make_a_call(store, clock, "c1")
    clock.advance(10)
    await end_the_call(store, clock, "c1")
    await later(store, clock, IDLE_SECONDS - 0.001)
    assert ended_at(store, "t1") is None
    await later(store, clock, 5)
    assert ended_at(store, "t1") == clock.now()
    await make_a_call(store, clock, "c2", task="t2")


async def test_a_task_with_a_call_in_flight_does_not_end(store: Store, clock: FakeClock) -> None:
    await make_a_call(store, clock, "long")
    clock.advance(1)
    await make_a_call(store, clock, "short")
    await end_the_call(store, clock, "short")
    await later(store, clock, 2 * IDLE_SECONDS)
    assert ended_at(store, "t1") is None
    await end_the_call(store, clock, "long")
    await later(store, clock, IDLE_SECONDS - 1)
    assert ended_at(store, "t1") is None
    await later(store, clock, 5)
    assert ended_at(store, "t1") is not None


async def test_any_call_keeps_a_task_going_and_a_later_one_opens_it_again(
    store: Store, clock: FakeClock
) -> None:
    for n in range(3):
        await make_a_call(store, clock, f"c{n}")
        await end_the_call(store, clock, f"c{n}")
        await later(store, clock, IDLE_SECONDS - 10)
        assert ended_at(store, "t1") is None
    await later(store, clock, 10)
    assert ended_at(store, "t1") is not None
    await make_a_call(store, clock, "c3")
    await later(store, clock, 5)
    assert ended_at(store, "t1") is None


async def test_a_task_that_never_made_a_call_ends_too(store: Store, clock: FakeClock) -> None:
    await store.create_task(make_task("made"))
    await store.refuse(make_refusal("r1", task=make_task("refused")))
    await later(store, clock, IDLE_SECONDS)
    assert (ended_at(store, "made"), ended_at(store, "refused")) == (None, None)
    await later(store, clock, 5)
    assert ended_at(store, "made") == ended_at(store, "refused") == clock.now()


async def test_a_task_that_waits_for_one_below_it_is_not_idle(
    store: Store, clock: FakeClock
) -> None:
    await make_a_call(store, clock, "c1")
    await end_the_call(store, clock, "c1")
    await store.create_task(make_task("below", parent="t1"))
    await store.admit(ask("c2", task="below", parent="t1", at=clock.now()))
    await later(store, clock, IDLE_SECONDS + 5)
    assert ended_at(store, "t1") is None
    await end_the_call(store, clock, "c2")
    await store.end_task("below", clock.now())
    await later(store, clock, IDLE_SECONDS - 1)
    assert ended_at(store, "t1") is None
    await later(store, clock, 5)
    assert ended_at(store, "t1") == clock.now()


async def test_a_deadline_ends_a_task_at_its_instant(store: Store, clock: FakeClock) -> None:
    await store.create_task(make_task("t1", deadline_at=NOW + 60.5))
    await later(store, clock, 60.5)
    assert ended_at(store, "t1") is None
    await later(store, clock, 5)
    assert ended_at(store, "t1") == NOW + 60.5


@pytest.mark.parametrize("ended", [NOW + 1, NOW + 100])
async def test_a_task_that_has_ended_keeps_its_end(
    store: Store, clock: FakeClock, ended: float
) -> None:
    await store.create_task(make_task("t1", deadline_at=NOW + 50))
    await store.end_task("t1", ended)
    await later(store, clock, 10 * IDLE_SECONDS)
    assert ended_at(store, "t1") == ended

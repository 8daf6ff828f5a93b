"""Calls in any minute, any hour and every day: no interval ever holds more than its limit."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callgate.errors import OverLimit
from callgate.store import GateIdentity, Grant, Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import STORES, Database
from tests.contract.store.making import (
    NOW,
    ask,
    make_end,
    make_limit,
    make_override,
    make_settlement,
    windows_of,
)
from tests.contract.store.places import new_place

MICRO = 1e-6
BEAT_SECONDS = 5.0


async def fits(store: Store, call: str, *, at: float = NOW + 1, **more: Any) -> bool:
    """Make a call; return whether it was let through."""
    try:
        await store.admit(ask(call, at=at, **more))
    except OverLimit:
        return False
    return True


async def refusal_of(store: Store, call: str, *, at: float, **more: Any) -> OverLimit:
    with pytest.raises(OverLimit) as refused:
        await store.admit(ask(call, at=at, **more))
    return refused.value


@pytest.mark.parametrize(("name", "length"), [("per_minute", 60), ("per_hour", 3_600)])
async def test_an_interval_has_both_its_ends(store: Store, name: Any, length: int) -> None:
    await store.load_limits([make_limit("user:*", name, 2)], 1)
    assert await fits(store, "c1", at=NOW)
    assert await fits(store, "c2", at=NOW + 1)
    assert not await fits(store, "c3", at=NOW + length)
    assert await fits(store, "c4", at=NOW + length + MICRO)
    assert not await fits(store, "c5", at=NOW + length + 1)


async def test_a_refusal_tells_when_the_call_fits_and_then_it_does(store: Store) -> None:
    await store.load_limits([make_limit("agent:researcher", "per_minute", 2)], 1)
    assert await fits(store, "c1", at=NOW)
    assert await fits(store, "c2", at=NOW + 20)
    refused = await refusal_of(store, "c3", at=NOW + 30)
    assert refused.retry_after_seconds == pytest.approx(30 + MICRO, abs=1e-9)
    reason = refused.reason
    assert (reason.code, reason.rule) == ("per_minute", "agents.researcher.per_minute")
    assert (reason.scope, reason.limit, reason.used) == ("agent:researcher", 2, 2)
    assert reason.resets_at == "2026-01-01T00:01:00.000001Z"
    assert await fits(store, "c4", at=NOW + 30 + refused.retry_after_seconds)


async def test_a_refusal_names_every_limit_and_the_longest_wait_counts(store: Store) -> None:
    limits = [
        make_limit("user:*", "per_minute", 1),
        make_limit("user:*", "per_hour", 1),
        make_limit("gate", "per_day", 1),
        make_limit("agent:researcher", "per_minute", 9),
    ]
    await store.load_limits(limits, 1)
    assert await fits(store, "c1")
    refused = await refusal_of(store, "c2", at=NOW + 2)
    for named in ("users.per_minute allows 1", "users.per_hour", "limits.per_day", "user u1 has 1"):
        assert named in refused.message
    assert "agents" not in refused.message
    assert (refused.reason.code, refused.reason.scope) == ("per_day", "gate")
    assert refused.retry_after_seconds == 86_400 - 2


@pytest.mark.parametrize(("waits", "waited"), [((True, True), True), ((True, False), False)])
async def test_a_call_waits_only_where_every_limit_says_so(
    store: Store, waits: Sequence[bool], *, waited: bool
) -> None:
    gate, user = waits
    limits = [
        make_limit("gate", "per_minute", 1, waits=gate),
        make_limit("user:*", "per_minute", 1, waits=user),
    ]
    await store.load_limits(limits, 1)
    assert await fits(store, "c1")
    assert (await refusal_of(store, "c2", at=NOW + 2)).waits == waited


async def test_a_refused_call_does_not_count(store: Store) -> None:
    await store.load_limits([make_limit("gate", "per_minute", 1)], 1)
    assert await fits(store, "c1", at=NOW)
    for n in range(3):
        assert not await fits(store, f"r{n}", at=NOW + 10 + n)
    assert await fits(store, "c2", at=NOW + 60 + MICRO)


async def test_each_user_has_a_rate_of_its_own_and_nobody_has_none(store: Store) -> None:
    await store.load_limits([make_limit("user:*", "per_minute", 1)], 1)
    for user in ("u1", "u2"):
        assert await fits(store, f"{user}-1", user=user)
        assert not await fits(store, f"{user}-2", user=user)
    for n in range(3):
        assert await fits(store, f"n{n}", user=None)


async def test_a_retry_counts_for_the_provider_and_not_for_the_agent(store: Store) -> None:
    limits = [
        make_limit("agent:researcher", "per_minute", 1),
        make_limit("provider:openai", "per_minute", 3),
    ]
    await store.load_limits(limits, 1)
    assert await fits(store, "c1")
    assert await fits(store, "c1", n=2)
    assert await fits(store, "c1", n=3)
    refused = await refusal_of(store, "c1", n=4, at=NOW + 2)
    assert refused.reason.scope == "provider:openai"


async def test_days_begin_at_midnight_and_count_calls(store: Store) -> None:
    await store.load_limits([make_limit("user:*", "per_day", 2)], 1)
    midnight = NOW + 86_400
    assert await fits(store, "c1", at=midnight - 2)
    assert await fits(store, "c1", n=2, at=midnight - 2)
    assert await fits(store, "c2", at=midnight - 1)
    refused = await refusal_of(store, "c3", at=midnight - 0.5)
    assert (refused.retry_after_seconds, refused.reason.used) == (0.5, 2)
    assert await fits(store, "c2", n=2, at=midnight - 0.25)
    assert await fits(store, "c4", at=midnight)


async def test_a_limit_of_nothing_lets_nothing_through_and_nobody_waits_for_it(
    store: Store,
) -> None:
    await store.load_limits([make_limit("user:u1", "per_minute", 0, waits=True)], 1)
    refused = await refusal_of(store, "c1", at=NOW)
    assert (refused.waits, refused.reason.resets_at) == (False, None)
    assert await fits(store, "c2", user="u2")


@pytest.mark.parametrize("name", ["per_minute", "per_hour"])
async def test_a_rate_that_comes_later_counts_what_the_log_knows(store: Store, name: Any) -> None:
    for n, user in enumerate(("u1", "u1", "u2")):
        assert await fits(store, f"c{n}", at=NOW + n, user=user)
    await store.admit(ask("c0", n=2, at=NOW + 3))
    limits = [make_limit("user:*", name, 3), make_limit("provider:openai", "per_hour", 6)]
    await store.load_limits(limits, 1)
    assert await fits(store, "c3", at=NOW + 4)
    assert not await fits(store, "c4", at=NOW + 5)
    assert await fits(store, "c5", at=NOW + 5, user="u2")
    assert (await refusal_of(store, "c6", at=NOW + 6, user="u3")).reason.scope == "provider:openai"


async def test_a_rate_that_is_raised_counts_the_calls_that_the_lower_one_saw(
    store: Store,
) -> None:
    await store.load_limits([make_limit("gate", "per_minute", 1)], 1)
    for n in range(4):
        assert await fits(store, f"c{n}", at=NOW + n * 61)
    hour = [make_limit("gate", "per_minute", 9), make_limit("gate", "per_hour", 5)]
    await store.load_limits(hour, 2)
    assert await fits(store, "c4", at=NOW + 200)
    assert not await fits(store, "c5", at=NOW + 201)
    assert await fits(store, "c6", at=NOW + 3_600 + MICRO)


async def test_a_rate_that_was_lowered_and_comes_back_has_missed_nothing(store: Store) -> None:
    await store.load_limits([make_limit("gate", "per_hour", 4)], 1)
    assert await fits(store, "c0", at=NOW)
    await store.load_limits([], 2)
    assert await fits(store, "c1", at=NOW + 1)
    await store.load_limits([make_limit("gate", "per_minute", 1)], 3)
    assert await fits(store, "c2", at=NOW + 120)
    await store.load_limits([make_limit("gate", "per_hour", 4)], 4)
    assert await fits(store, "c3", at=NOW + 121)
    assert not await fits(store, "c4", at=NOW + 122)


async def test_an_override_that_ends_leaves_as_many_calls_known_as_the_file_asks_for(
    store: Store,
) -> None:
    await store.load_limits([make_limit("user:*", "per_hour", 3)], 1)
    await store.override(make_override("user:u1", "per_hour", 100, until=NOW + 60))
    for n in range(4):
        assert await fits(store, f"c{n}", at=NOW + n)
    await store.override(make_override("user:u1", "per_hour", 4, until=NOW + 70))
    assert not await fits(store, "c5", at=NOW + 61)
    assert not await fits(store, "c6", at=NOW + 71)
    assert not await fits(store, "c7", at=NOW + 1 + 3_600)
    assert await fits(store, "c8", at=NOW + 1 + 3_600 + MICRO)


async def test_gates_share_a_rate(database: Database, clock: FakeClock) -> None:
    gates = [GateIdentity.of_this_process(started_at=clock.now()) for _ in range(3)]
    stores = [await database.open(gate) for gate in gates]
    await stores[0].load_limits([make_limit("type:research", "per_hour", 40)], 1)
    asked = [stores[n % 3].admit(ask(f"c{n}", user=f"u{n % 5}")) for n in range(100)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Grant) for answer in answers) == 40
    assert sum(isinstance(answer, OverLimit) for answer in answers) == 60
    for store in stores:
        await store.close()


async def test_a_clock_that_is_set_back_opens_no_gap_and_closes_no_door(
    store: Store, clock: FakeClock
) -> None:
    await store.load_limits([make_limit("gate", "per_minute", 2)], 1)
    assert await fits(store, "c1", at=clock.now())
    assert await fits(store, "c2", at=clock.now())
    clock.step(-3_000)
    for n in range(3):
        clock.advance(15)
        await beat(store)
        refused = await refusal_of(store, f"r{n}", at=clock.now())
        assert refused.retry_after_seconds <= 60
    # The beat that found the clock set back came fifteen seconds later than it might have.
    clock.advance(30 + MICRO)
    assert await fits(store, "c3", at=clock.now())


async def beat(store: Store) -> None:
    """Have the heartbeat come if it is due, and wait for it."""
    await store.end_task("nobody", NOW)
    await store.end_task("nobody", NOW)


async def test_a_call_that_was_known_an_hour_ago_is_forgotten_with_its_user(
    store: Store, clock: FakeClock
) -> None:
    await store.load_limits([make_limit("user:*", "per_hour", 2)], 1)
    for n in range(2):
        assert await fits(store, f"c{n}", at=clock.now())
    for _ in range(5):
        clock.advance(1_800)
        await beat(store)
    assert await fits(store, "c2", at=clock.now())
    assert await fits(store, "c3", at=clock.now())
    assert not await fits(store, "c4", at=clock.now())
    assert store.verify() == []


async def test_what_is_used_of_a_rate_now_is_told(store: Store) -> None:
    limits = [make_limit("gate", "per_minute", 9), make_limit("user:u1", "per_hour", 9)]
    await store.load_limits(limits, 1)
    for n in range(3):
        assert await fits(store, f"c{n}", at=NOW - 50 * n)
    told = {row.limit.scope: row.used for row in store.limits(windows_of(NOW))}
    assert told == {"gate": 2, "user:u1": 3}


async def test_a_call_in_flight_and_one_that_ended_count_alike(store: Store) -> None:
    await store.load_limits([make_limit("gate", "per_minute", 2)], 1)
    assert await fits(store, "c1")
    await store.settle(make_settlement("c1.1", end=make_end("c1")))
    assert await fits(store, "c2")
    assert not await fits(store, "c3")


GAPS = st.lists(
    st.sampled_from([0.0, MICRO, 1.0, 7.0, 29.0, 30.0, 59.0, 60.0, 60.0 + MICRO, 3_500.0])
    | st.floats(0, 90),
    min_size=1,
    max_size=60,
)  # fmt: skip


@pytest.mark.parametrize("name", STORES)
@settings(max_examples=40, deadline=None)
@given(gaps=GAPS, a_minute=st.integers(1, 5), an_hour=st.integers(1, 12))
def test_exactly_those_calls_fit_that_leave_no_interval_with_too_many(
    name: str, gaps: list[float], a_minute: int, an_hour: int
) -> None:
    arrivals = [round(NOW + sum(gaps[: n + 1]), 6) for n in range(len(gaps))]
    limits = [make_limit("gate", "per_minute", a_minute), make_limit("user:*", "per_hour", an_hour)]

    async def let_through(store: Store, _: FakeClock) -> list[float]:
        await store.load_limits(limits, 1)
        asked = [store.admit(ask(f"c{n}", at=at)) for n, at in enumerate(arrivals)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [at for at, one in zip(arrivals, answers, strict=True) if isinstance(one, Grant)]

    expected: list[float] = []
    for at in arrivals:
        since = [round((at - before) * 1e6) for before in expected]
        if (
            sum(gap <= 60e6 for gap in since) < a_minute
            and sum(gap <= 3_600e6 for gap in since) < an_hour
        ):
            expected.append(at)
    assert in_new_store(name, let_through) == expected


STEPS = st.lists(
    st.tuples(st.floats(0, 40), st.floats(0, 100) | st.just(0.0)), min_size=1, max_size=60
)


@pytest.mark.parametrize("name", STORES)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS, limit=st.integers(1, 4))
def test_however_a_clock_is_set_back_no_minute_that_passed_has_too_many(
    name: str, steps: list[tuple[float, float]], limit: int
) -> None:
    async def let_through(store: Store, clock: FakeClock) -> list[float]:
        await store.load_limits([make_limit("gate", "per_minute", limit)], 1)
        passed: list[float] = []
        for n, (later, back) in enumerate(steps):
            clock.advance(later)
            clock.step(-back)
            if await fits(store, f"c{n}", at=clock.now()):
                passed.append(clock.monotonic())
        return passed

    passed = in_new_store(name, let_through)
    for first, too_many in zip(passed, passed[limit:], strict=False):
        # Rows keep whole microseconds.
        assert too_many - first > 60 - MICRO


def in_new_store(name: str, work: Any) -> Any:
    """Run something in a store of its own, with a clock of its own."""

    async def run(place: str) -> Any:
        clock = FakeClock(NOW)
        gate = GateIdentity.of_this_process(started_at=NOW)
        store = await STORES[name](place, clock).open(gate)
        try:
            return await work(store, clock)
        finally:
            await store.close()

    with (
        tempfile.TemporaryDirectory(prefix="callgate-rates-") as folder,
        new_place(name, Path(folder)) as place,
    ):
        return asyncio.run(run(place))

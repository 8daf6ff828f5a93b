"""Instants are written in one way that programs and people read."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.clock import SystemClock, paused, rfc3339


@pytest.mark.parametrize(
    ("instant", "written"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_764_000_000.5, "2025-11-24T16:00:00.500000Z"),
        (-1, "1969-12-31T23:59:59.000000Z"),
    ],
)
def test_an_instant_is_written_in_utc_with_microseconds(instant: float, written: str) -> None:
    assert rfc3339(instant) == written


@given(st.integers(0, 4_000_000_000_000_000))
def test_an_instant_reads_back_to_the_microsecond(microseconds: int) -> None:
    instant = microseconds / 1e6
    again = datetime.fromisoformat(rfc3339(instant)).timestamp()
    assert abs(again - instant) < 1e-6


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_instants_sort_as_they_are_written(one: float, other: float) -> None:
    earlier, later = sorted((one, other))
    assert rfc3339(earlier) <= rfc3339(later)


async def test_the_machines_clock_tells_now_and_never_runs_backwards() -> None:
    clock = SystemClock()
    assert abs(clock.now() - datetime.now(UTC).timestamp()) < 60
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before


async def test_no_time_of_a_limit_passes_while_it_is_paused() -> None:
    async with asyncio.timeout(5) as limit:
        with paused(limit):
            await asyncio.sleep(0)
            assert limit.when() is None
        ends_at = limit.when()
    assert ends_at is not None
    assert ends_at > asyncio.get_running_loop().time()


async def test_a_limit_that_never_ends_stays_so() -> None:
    async with asyncio.timeout(None) as limit:
        with paused(limit):
            await asyncio.sleep(0)
        assert limit.when() is None


async def test_what_a_limit_held_may_end_while_it_is_paused() -> None:
    async with AsyncExitStack() as stack:
        limit = await stack.enter_async_context(asyncio.timeout(5))
        with paused(limit):
            await stack.aclose()

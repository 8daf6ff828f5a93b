"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio

import pytest

from callgate.clock import Clock
from callgate.testing import FakeClock


async def test_sleeping_moves_both_times_at_once_and_is_noted() -> None:
    clock = FakeClock(100.0)
    await clock.sleep(3600.0)
    assert (clock.now(), clock.monotonic(), clock.waits) == (3700.0, 3600.0, [3600.0])


async def test_sleeping_lets_other_tasks_run() -> None:
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await FakeClock().sleep(0.0)
    assert ran.is_set()


def test_time_passes_only_by_advance() -> None:
    clock = FakeClock(100.0)
    clock.advance(5.0)
    assert (clock.now(), clock.monotonic(), clock.waits) == (105.0, 5.0, [])


def test_a_step_of_the_wall_clock_takes_no_time() -> None:
    clock = FakeClock(100.0)
    clock.step(-60.0)
    assert (clock.now(), clock.monotonic()) == (40.0, 0.0)


def test_time_cannot_pass_backwards() -> None:
    with pytest.raises(ValueError, match=r"step\(\)"):
        FakeClock().advance(-1.0)


def test_it_is_a_clock() -> None:
    clock: Clock = FakeClock()
    assert clock.now() == clock.now()

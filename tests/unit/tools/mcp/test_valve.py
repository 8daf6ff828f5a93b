"""What a server pours out is slowed down."""

from __future__ import annotations

from callgate.testing.clocks import FakeClock
from callgate.tools.mcp.valve import Valve


async def test_what_is_agreed_passes_without_a_wait() -> None:
    clock = FakeClock()
    valve = Valve(clock, 100)
    for _ in range(100):
        await valve.let_through(1)
    assert clock.waits == []


async def test_what_is_more_waits_for_the_next_second() -> None:
    clock = FakeClock()
    valve = Valve(clock, 100)
    for _ in range(303):
        await valve.let_through(1)
    assert clock.waits == [1.0, 1.0, 1.0]

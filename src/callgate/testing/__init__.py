"""Testing as product: a virtual clock, and simulated providers that bill and misbehave."""

from __future__ import annotations

from callgate.testing.clocks import FakeClock

__all__ = ["FakeClock"]

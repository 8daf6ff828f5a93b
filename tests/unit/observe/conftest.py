"""A store that a test books in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from callgate.store import GateIdentity, Store
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW
from tests.unit.observe.bookings import DAY


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW + 10 * DAY)


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Store]:
    """A ledger of a gate that is looked at ten days later."""
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(tmp_path / "x.db", clock=clock, gate=gate)
    yield store
    await store.close()

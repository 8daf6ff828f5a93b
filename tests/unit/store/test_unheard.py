"""An admission that nobody heard of is taken back, with what it had begun."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from callgate.store import GateIdentity
from callgate.store.admission import Admission
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW
from tests.contract.store.test_actions import intent


async def test_what_nobody_heard_of_surely_was_not_done(tmp_path: Path) -> None:
    path, gate = tmp_path / "store.db", GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(path, clock=FakeClock(NOW), gate=gate)
    await store.admit(intent("c1"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Admission(gate.id).take_back(connection.cursor(), intent("c1"))
    (action,) = store.actions()
    assert (action.state, store.alerts()) == ("not_done", [])
    await store.close()

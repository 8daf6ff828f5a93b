"""What the road does when its store fails: nothing runs unrecorded, and no money is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from callgate.call import Reply
from callgate.errors import BadRequest, Transient
from callgate.money import Money
from callgate.providers import Outgoing
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Answer, FakeProvider
from tests.unit.pipeline.road import Road, open_road


class Witness(FakeProvider):
    """Looks into the store's file, as another process would, when a request reaches it."""

    def __init__(self, path: Path, *script: Answer | BaseException) -> None:
        super().__init__(*script)
        self.path = path
        self.found: list[tuple[object, ...]] = []

    @asynccontextmanager
    async def open(self, outgoing: Outgoing, /) -> AsyncGenerator[Reply]:
        with closing(sqlite3.connect(self.path)) as books:
            self.found += books.execute(
                "SELECT c.state, a.n, a.state, l.held_nano = a.reserved_nano, a.reserved_nano > 0"
                " FROM attempts a JOIN calls c ON c.seq = a.call_seq"
                " JOIN ledger l ON l.scope = 'task:' || a.task_id WHERE a.state = 'running'"
            )
        async with super().open(outgoing) as reply:
            yield reply


async def test_the_intent_and_the_hold_are_on_disk_when_a_request_leaves(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "callgate.db", Transient("500", billed=False), Answer())
    async with open_road(tmp_path, make_provider=lambda _: witness) as road:
        await road.ask()
    assert witness.found == [("running", 1, "running", 1, 1), ("running", 2, "running", 1, 1)]


async def test_a_settlement_is_not_lost_with_who_waits_for_it(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        admitted, read = asyncio.Event(), asyncio.Event()
        call = asyncio.ensure_future(ask_in_two_steps(road, admitted, read))
        async with asyncio.timeout(10):
            await admitted.wait()
        with closing(sqlite3.connect(tmp_path / "callgate.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            read.set()
            for _ in range(5):
                await Turn()
            call.cancel()
            await asyncio.wait([call])
            other.execute("ALTER TABLE attempts RENAME TO elsewhere")
            other.execute("COMMIT")
            async with asyncio.timeout(10):
                while not road.gate.late:
                    await Turn()
            other.execute("ALTER TABLE elsewhere RENAME TO attempts")
        while road.gate.late:
            await road.settled()
        assert (road.last.state, road.spent()) == ("ok", (Money(60_000), Money()))


class Outage(FakeProvider):
    """Takes the store down when a request reaches it, and then fails."""

    def __init__(self, path: Path) -> None:
        super().__init__(BadRequest("400", billed=False))
        self.path = path

    @asynccontextmanager
    async def open(self, outgoing: Outgoing, /) -> AsyncGenerator[Reply]:
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("ALTER TABLE attempts RENAME TO elsewhere")
        async with super().open(outgoing) as reply:
            yield reply


async def test_a_call_that_fails_in_an_outage_is_ended_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "callgate.db"
    async with open_road(tmp_path, make_provider=lambda _: Outage(path)) as road:
        with pytest.raises(BadRequest):
            await road.ask()
        with closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE elsewhere RENAME TO attempts")
        while road.gate.late:
            await road.settled()
        assert (road.last.state, road.last.code) == ("failed", "bad_request")
        assert road.last.attempts[0].state == "failed"
        assert road.spent() == (Money(), Money())


async def ask_in_two_steps(road: Road, admitted: asyncio.Event, read: asyncio.Event) -> None:
    async with road.gate.road(road.passage()):
        admitted.set()
        await read.wait()

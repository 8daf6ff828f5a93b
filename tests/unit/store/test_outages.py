"""What the road does when its store fails: nothing runs unrecorded, and no money is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from callgate.money import Money
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import Road, open_road


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


async def ask_in_two_steps(road: Road, admitted: asyncio.Event, read: asyncio.Event) -> None:
    async with road.gate.road(road.passage()):
        admitted.set()
        await read.wait()

"""The PostgreSQL server itself is killed: nothing is lost, and gates go on by themselves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from callgate.errors import StoreDown
from tests.contract.store.making import make_intent, make_task
from tests.contract.store.test_admission import balance
from tests.contract.store.test_postgresql import opened
from tests.contract.store.wire import cut_wire
from tests.soak.accounts import compare, compare_to_the_nano_dollar, read_far, read_near
from tests.soak.books import ServerBooks, Witness
from tests.soak.conftest import Show
from tests.soak.drill import HELD, RECOVERY_SECONDS
from tests.soak.load import Load
from tests.soak.programs import Programs
from tests.soak.servers import Server, own_server
from tests.soak.settings import NANO, Caps, Settings
from tests.soak.watch import until

GATES = 2

CAPS = Caps(day="1000", month="1001", user="500")
"""Nobody but a task runs out of money, so that calls are served after every fall."""

ENOUGH = 20
"""Calls that are served after each fall, before the next."""


@pytest.mark.parametrize(
    "falls", [pytest.param(4, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.soak)]
)
async def test_a_server_that_falls_under_load_takes_nothing_with_it(
    programs: Programs, far_url: str, rng: random.Random, show: Show, falls: int
) -> None:
    async with own_server() as server:
        with closing(ServerBooks(server.url)) as books:
            settings = Settings.write(programs.folder, place=server.url, far_url=far_url, caps=CAPS)
            gates = [
                await programs.start("serve", "--port", "0", environ=settings.environ)
                for _ in range(GATES)
            ]
            loads = [Load(rng, round=n, key=settings.key) for n in range(GATES)]
            urls = [await gate.url() for gate in gates]
            asking = asyncio.gather(*map(Load.run, loads, urls))
            books.call_witness()
            for number in range(1, falls + 1):
                await asyncio.sleep(rng.uniform(0.2, 1.0))
                await fall(server, rng)
                await asyncio.gather(*map(served, loads))
                far, near = await read_far(far_url), await read_near(books.place)
                compare(far, near)
                show(f"fall {number}/{falls}, {near.attempts.total()} attempts recorded")
            for load in loads:
                load.end()
            await asking
            # By the gates that live: nobody else would settle it.
            async with asyncio.timeout(RECOVERY_SECONDS):
                await until(lambda: not int(books.ask(HELD)[0][0]))
            far, near = await read_far(far_url), await read_near(books.place)
            compare(far, near)
            exact = compare_to_the_nano_dollar(far, near)
            ended = sum((load.ended for load in loads), Counter[str]())
            show(
                f"{exact} attempts agree with the bill to the nano-dollar; "
                f"${far.total_nano / NANO:.4f} billed, ${near.spent.total() / NANO:.4f} spent; "
                f"attempts: {near.states}; calls: {ended}"
            )
            assert Witness(books, CAPS.nano()).over() == []
            assert near.states["unknown"] == near.states["running"] == 0
            assert min(ended["200"], ended["503"]) > falls
            assert [await gate.stop() for gate in gates] == [0] * GATES


async def test_a_commit_that_a_crash_has_lost_is_not_taken_for_the_next_one(
    tmp_path: Path,
) -> None:
    async with own_server() as server, cut_wire(server.url, tmp_path) as wire:

        async def crash() -> None:
            await server.crash()
            with psycopg.connect(server.url, autocommit=True) as other:
                # The number of the transaction that the crash has lost.
                other.execute("SELECT pg_current_xact_id()")

        async with opened(wire.url) as store, opened(server.url) as books:
            await store.create_task(make_task(budget=1_000))
            wire.cuts, wire.meanwhile = "before", crash
            with pytest.raises(StoreDown):
                await store.admit(make_intent(make_task()))
            assert balance(books) == (0, 0)


async def fall(server: Server, rng: random.Random) -> None:
    """Have the server crash and begin anew, or die and be started again a little later."""
    if rng.random() < 0.5:
        await server.crash()
    else:
        await server.kill()
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        await server.start()


async def served(load: Load) -> None:
    """Wait until some more calls are served."""
    enough = load.ended["200"] + ENOUGH
    async with asyncio.timeout(RECOVERY_SECONDS):
        await until(lambda: load.ended["200"] >= enough)

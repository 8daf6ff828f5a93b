"""A simulator that lives, gates that share one database and are killed, and both accounts after."""

from __future__ import annotations

import asyncio
import random
import time
from asyncio import Future
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.soak.accounts import Far, Near, compare, read_far, read_near
from tests.soak.books import Books, Witness
from tests.soak.load import Load
from tests.soak.programs import Program, Programs
from tests.soak.settings import Caps, Settings
from tests.soak.watch import BOOKED, Watch, until

CAPS: Final = Caps(day="1000", month="1001", user="0.50")
"""Users run out of money, the gate does not."""

CREW: Final = 6
"""Gates that work together on one database."""

RECOVERY_SECONDS: Final = 30.0
"""Within this the holds of a dead gate are settled."""

LOAD_SECONDS: Final = 0.6
"""A gate is killed at most so long after the one before."""

STARTS_KILLED: Final = 0.3
"""The share of rounds in which one more gate is killed while it starts."""

NOBODY_LEFT: Final = 4
"""Every so many rounds the whole crew is killed."""

HELD: Final = "SELECT coalesce(sum(held_nano), 0) FROM ledger"

OWNERS: Final = """
    SELECT DISTINCT c.owner FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.state = 'running'
"""
GIVEN_UP: Final = """
    SELECT c.owner, max(a.ended_at) FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.state = 'unknown' GROUP BY c.owner
"""


class Drill:
    """What is done to gates, and what must hold while it is done and after.

    Args:
        books: What the gates share.
        programs: Where they run.
        far_url: Where the simulator serves.
        rng: Who is killed and when, and what agents ask.
    """

    def __init__(self, books: Books, programs: Programs, far_url: str, rng: random.Random) -> None:
        self.books = books
        self.settings = Settings.write(
            programs.folder, place=books.place, far_url=far_url, caps=CAPS
        )
        self.witness = Witness(books, CAPS.nano())
        self.ended: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        """Gates killed ``starting``, ``together`` with others that went on, or as the ``last``."""
        self.refusals = 0
        self.watch = Watch(books, far_url, self._dead_owners)
        self._programs = programs
        self._far_url = far_url
        self._rng = rng
        self._rounds = 0
        self._crew: dict[str, Program] = {}
        """By the name under which each owns attempts."""
        self._killed_at: dict[str, float] = {}

    async def kill_some(self, most: int) -> None:
        """Have a crew of gates asked, and kill some of them; who is left settles for the dead."""
        await self._start_crew()
        load = Load(self._rng, round=self._rounds, key=self.settings.key)
        asking = [asyncio.ensure_future(load.run(await gate.url())) for gate in self._crew.values()]
        async with self.watch:
            for owner in self._victims(most):
                await asyncio.sleep(self._rng.uniform(0.0, LOAD_SECONDS))
                await self._kill(owner)
            if self._crew:
                # Nobody else starts meanwhile: those who work on must do it.
                await self._recover()
            await self._finish(load, asking)

    async def kill_one_that_starts(self) -> None:
        """Start a gate and kill it at once, or a little later."""
        gate = await self._start()
        await asyncio.sleep(self._rng.uniform(0.0, 0.5))
        await gate.kill()
        self.kills["starting"] += 1

    async def stop(self) -> None:
        """Have a crew asked once more, and stop it as an operator does: nothing is held then."""
        await self._start_crew()
        load = Load(self._rng, round=self._rounds, key=self.settings.key)
        crew = list(self._crew.values())
        asking = [asyncio.ensure_future(load.run(await gate.url())) for gate in crew]
        async with self.watch:
            await asyncio.sleep(self._rng.uniform(0.5, 1.0))
            assert [await gate.stop() for gate in crew] == [0] * len(crew)
            self._crew.clear()
            await self._finish(load, asking)
        assert self._ask(HELD) == 0

    async def urls(self) -> list[str]:
        """Return where a crew serves, once nothing is held that the dead have held."""
        await self._start_crew()
        await self._quiet()
        return [await gate.url() for gate in self._crew.values()]

    async def accounts(self) -> tuple[Far, Near]:
        """Return both accounts, compared; the simulator's first, so that it owes the other none."""
        far = await read_far(self._far_url)
        near = await read_near(self.books.place)
        compare(far, near)
        return far, near

    def slowest_recovery_seconds(self) -> float:
        """Return the longest that an attempt was held after its gate was killed."""
        given_up = self.books.ask(GIVEN_UP)
        return max(float(ended_at) / 1e6 - self._killed_at[owner] for owner, ended_at in given_up)

    def booked_nano(self) -> int:
        """Return what is spent and held by now."""
        return self._ask(BOOKED)

    async def _start_crew(self) -> None:
        """Start who is missing; what the dead held is settled when all are there."""
        self._rounds += 1
        new = [await self._start() for _ in range(CREW - len(self._crew))]
        for gate in new:
            await gate.url()
            ((owner,),) = self.books.ask("SELECT id FROM gates WHERE pid = ?", (gate.pid,))
            self._crew[owner] = gate
        if self._rounds == 1:
            self.books.call_witness()
        await self._recover()

    async def _start(self) -> Program:
        return await self._programs.start("serve", "--port", "0", environ=self.settings.environ)

    def _victims(self, most: int) -> list[str]:
        whole = self._rounds % NOBODY_LEFT == 2
        number = CREW if whole else self._rng.randint(CREW - 2, CREW - 1)
        return self._rng.sample(sorted(self._crew), min(number, most))

    async def _kill(self, owner: str) -> None:
        self._killed_at[owner] = time.time()
        gate = self._crew.pop(owner)
        await gate.kill()
        self.kills["together" if self._crew else "last"] += 1

    async def _finish(self, load: Load, asking: Sequence[Future[None]]) -> None:
        load.end()
        await asyncio.gather(*asking)
        if self._crew:
            await self._quiet()
        self._judge(load)

    def _judge(self, load: Load) -> None:
        """Every refusal told what the ledger said, and the call would have passed the limit."""
        for refusal in load.refusals:
            assert refusal.is_true, refusal
            assert self.witness.saw(refusal.scope, spent=refusal.used, held=refusal.held), refusal
        self.refusals += len(load.refusals)
        self.ended += load.ended

    async def _recover(self) -> None:
        """Wait until no attempt of a dead gate runs."""
        await until(lambda: not self._dead_owners())

    def _dead_owners(self) -> list[str]:
        """Return the dead that still hold something, none of them for too long."""
        owners = [owner for (owner,) in self.books.ask(OWNERS) if owner not in self._crew]
        for owner in owners:
            dead_seconds = time.time() - self._killed_at[owner]
            assert dead_seconds <= RECOVERY_SECONDS, f"{owner} is dead for {dead_seconds} s"
        return owners

    async def _quiet(self) -> None:
        """Wait until nothing is held, as nobody asks; streams are drained meanwhile."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            await until(lambda: not self._ask(HELD))

    def _ask(self, sql: str) -> int:
        return int(self.books.ask(sql)[0][0])

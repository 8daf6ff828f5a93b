"""A simulator that lives, gates that are killed on one file, and both accounts after each death."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from callgate.keys import new_key
from tests.soak.accounts import Far, Near, compare, read_far, read_near
from tests.soak.load import Load
from tests.soak.programs import Program

SETTINGS: Final = """\
[gate]
store = "sqlite:callgate.db"
drain = "0.1s"

[providers.openai]
api = "openai"
base_url = "{url}/v1"
key = "env:OPENAI_API_KEY"

[providers.anthropic]
api = "anthropic"
base_url = "{url}"
key = "env:ANTHROPIC_API_KEY"

[models.smart]
use = ["openai:gpt-5.5"]

[models.careful]
use = ["anthropic:claude-sonnet-5"]

[agents.worker]
key = "env:WORKER_KEY"
models = ["smart", "careful"]

[tasks.default]
budget = "$1"
retries = 1

[tasks.small]
budget = "$0.02"
retries = 0
"""

RECOVERY_SECONDS: Final = 30.0
"""Within this the holds of a dead gate are settled."""

LOAD_SECONDS: Final = 1.5
"""A gate works for at most so long before it is killed."""

STARTS_KILLED: Final = 0.15
"""The share of gates that are killed while they start."""

BOOKED: Final = "SELECT coalesce(sum(spent_nano + held_nano), 0) FROM ledger"
HELD: Final = "SELECT coalesce(sum(held_nano), 0) FROM ledger"


class Drill:
    """What is done to gates, and what must hold after each of it.

    Args:
        folder: Where the settings and the store are.
        far_url: Where the simulator serves.
        rng: When gates are killed, and what agents ask.
    """

    def __init__(self, folder: Path, far_url: str, rng: random.Random) -> None:
        self._folder = folder
        self._far_url = far_url
        self._rng = rng
        self._key = new_key("agent")
        self._path = folder / "callgate.db"
        self.rounds = 0
        self.ended: Counter[str] = Counter()
        self.slowest_recovery_seconds = 0.0
        (folder / "callgate.toml").write_text(SETTINGS.format(url=far_url))

    async def kill_one(self) -> None:
        """Start a gate, let agents ask it, kill it; now and then it dies while it starts."""
        self.rounds += 1
        gate = await self._start()
        if self.rounds > 1 and self._rng.random() < STARTS_KILLED:
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))
            await gate.kill()
        else:
            await self._use(gate, gate.kill)

    async def stop_one(self) -> None:
        """Start a gate, let agents ask it, and stop it as an operator does."""
        self.rounds += 1
        gate = await self._start()
        await self._use(gate, gate.stop)
        assert self._ask(HELD) == 0

    async def accounts(self) -> tuple[Far, Near]:
        """Return both accounts, compared; the simulator's first, so that it owes the other none."""
        far = await read_far(self._far_url)
        near = await read_near(self._path)
        compare(far, near)
        return far, near

    async def _start(self) -> Program:
        keys = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "WORKER_KEY"]
        environ = dict.fromkeys(keys, self._key)
        return await Program.start("serve", "--port", "0", folder=self._folder, environ=environ)

    async def _use(self, gate: Program, end: Callable[[], Awaitable[object]]) -> None:
        url = await gate.url()
        await self._recover()
        load = Load(self._rng, round=self.rounds, key=self._key)
        asking = asyncio.ensure_future(load.run(url))
        watching = asyncio.ensure_future(self._watch())
        await asyncio.sleep(self._rng.uniform(0.0, LOAD_SECONDS))
        await end()
        watching.cancel()
        await asyncio.wait([watching])
        assert watching.cancelled(), watching.exception()
        await asking
        self.ended += load.ended

    async def _recover(self) -> None:
        """Wait until nothing is held that a dead gate held."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(RECOVERY_SECONDS):
            while True:
                if not self._ask(HELD):
                    break
                await asyncio.sleep(0.05)
        self.slowest_recovery_seconds = max(self.slowest_recovery_seconds, loop.time() - began)

    async def _watch(self) -> None:
        """At every moment at least as much is spent and held as was billed before."""
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self._far_url}/sim/bill?lines=0") as reply:
                    bill = msgspec.json.decode(await reply.read())
                billed, booked = bill["total_nano_usd"], self._ask(BOOKED)
                assert booked >= billed, f"{billed} is billed, and only {booked} is booked"
                await asyncio.sleep(0.05)

    def _ask(self, sql: str) -> int:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as books:
            return int(books.execute(sql).fetchone()[0])

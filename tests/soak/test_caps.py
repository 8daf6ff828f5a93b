"""Many gates on one store, and more calls at once than every cap has room for: none is passed.

``SEED=… make soak`` chooses the calls of an earlier run.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from callgate.keys import new_key
from tests.soak.accounts import compare, read_far, read_near
from tests.soak.drill import SETTINGS
from tests.soak.load import SCRIPT, Load
from tests.soak.programs import Program
from tests.soak.test_kill import show

CAPS: Final = """
[limits]
budget_per_day = "$3"
budget_per_month = "$3.10"

[users]
budget_per_day = "$0.60"

"""

GATES: Final = 4
DAY_NANO: Final = 3_000_000_000
MONTH_NANO: Final = 3_100_000_000
USER_NANO: Final = 600_000_000

OVER: Final = """
    SELECT scope, "window", spent_nano + held_nano FROM ledger
    WHERE spent_nano + held_nano > coalesce(cap_nano,
        CASE WHEN scope LIKE 'user:%' THEN ? WHEN "window" LIKE 'day%' THEN ? ELSE ? END)
"""
"""Rows of the ledger that hold more than their cap; there must be none at any moment."""


class Crowd(Load):
    """One call each, all at once, over several gates."""

    async def ask_once(self, session: aiohttp.ClientSession, user: str) -> None:
        """Make one call for a user."""
        self._headers["callgate-user"] = user
        try:
            self.ended[await self._ask(session)] += 1
        except (aiohttp.ClientError, OSError):
            self.ended["lost"] += 1


@pytest.mark.parametrize(
    "calls",
    [pytest.param(200, marks=pytest.mark.slow), pytest.param(1_000, marks=pytest.mark.soak)],
)
async def test_no_cap_is_passed_at_any_moment_by_calls_through_four_gates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: int
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbits(32))
    (tmp_path / "script.toml").write_text(SCRIPT)
    simulator = await Program.start(
        "sim", "script.toml", "--port", "0", folder=tmp_path, environ={}
    )
    url = await simulator.url()
    (tmp_path / "callgate.toml").write_text(SETTINGS.format(url=url) + CAPS)
    key = new_key("agent")
    environ = dict.fromkeys(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "WORKER_KEY"], key)
    gates = [
        await Program.start("serve", "--port", "0", folder=tmp_path, environ=environ)
        for _ in range(GATES)
    ]
    urls = [await gate.url() for gate in gates]
    watching = asyncio.ensure_future(watch(tmp_path / "callgate.db"))
    ended = await rush(urls, random.Random(seed), key=key, calls=calls)
    for gate in gates:
        assert await gate.stop() == 0
    watching.cancel()
    await asyncio.wait([watching])
    assert watching.cancelled(), watching.exception()
    far, near = await read_far(url), await read_near(tmp_path / "callgate.db")
    compare(far, near)
    show(
        capsys,
        f"seed {seed}: ${far.total_nano / 1e9:.4f} billed, "
        f"${near.spent.total() / 1e9:.4f} spent of ${DAY_NANO / 1e9:.2f}; {ended}",
    )
    assert near.held.total() == 0
    assert far.total_nano <= near.spent.total() <= DAY_NANO
    assert ended["402"] > 0
    await simulator.stop()


async def rush(urls: Sequence[str], rng: random.Random, *, key: str, calls: int) -> Counter[str]:
    """Make all calls at once, spread over the gates and ten users."""
    ended: Counter[str] = Counter()
    crowds = [Crowd(rng, round=number, key=key) for number in range(len(urls) * 10)]
    timeout = aiohttp.ClientTimeout(total=120)
    async with asyncio.TaskGroup() as asking:
        sessions = [
            aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
            for url in urls
        ]
        for number in range(calls):
            crowd = crowds[number % len(crowds)]
            session = sessions[number % len(urls)]
            asking.create_task(crowd.ask_once(session, f"u{number // len(urls) % 10}"))
    for session in sessions:
        await session.close()
    for crowd in crowds:
        ended += crowd.ended
    return ended


async def watch(path: Path) -> None:
    """Look, again and again, whether any row of the ledger is over its cap."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as books:
        while True:
            over = books.execute(OVER, (USER_NANO, DAY_NANO, MONTH_NANO)).fetchall()
            assert over == []
            await asyncio.sleep(0.005)

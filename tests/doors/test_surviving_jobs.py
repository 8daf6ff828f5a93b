"""A gate is killed over a job at a platform: the result arrives once, and is paid once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from callgate.clock import SystemClock
from callgate.store.sqlite import SqliteStore
from callgate.testing.simulator import Simulator
from callgate.testing.simulator.clock import SteppedClock

pytestmark = pytest.mark.slow

KEY = "ap_canary_0123456789abcdef"
CREDIT_NANO = 100_000
RESEARCH = {
    "slug": "research",
    "price_credits": 800,
    "mode": "async",
    "default_timeout_seconds": 600,
    "steps": [{"seconds": 60, "credits_used": 650, "output": {"found": 42}}],
}
SCRIPT = {"platform": {"accounts": {KEY: 1000}, "tools": [RESEARCH]}}
SETTINGS = """
[gate]
store = "sqlite:gate.db"
[platforms.patch]
profile = "agentpatch"
base_url = "{url}"
key = "env:PATCH_KEY"
tools = ["research"]
first_poll = "50ms"
longest_poll = "50ms"
[agents.researcher]
tools = ["patch.*"]
[tasks.default]
budget = "$1"
"""
AGENT = """
import asyncio, callgate
async def main():
    async with callgate.open_gate("callgate.toml", agent="researcher") as gate:
        async with gate.task(id="t1") as task:
            result = await task.tool("patch.research", topic="rivers")
            print(result.structured["found"], result.cost.nano)
asyncio.run(main())
"""


async def start_agent(folder: Path) -> Process:
    """Start an agent with a gate in its process."""
    environ = {**os.environ, "PATCH_KEY": KEY, "PYTHONPATH": ""}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, cwd=folder, env=environ, stdout=PIPE, stderr=PIPE
    )


async def until_asked(sim: Simulator, path: str, *, times: int) -> None:
    """Wait until a path was asked for so many times."""
    async with asyncio.timeout(30):
        while sum(each.path.startswith(path) for each in sim.requests) < times:
            await SystemClock().sleep(0.01)


async def rows(folder: Path) -> tuple[int, int, list[Any]]:
    """Return what the task has spent and holds, and its calls, the first one first."""
    store = await SqliteStore.open(folder / "gate.db", clock=SystemClock(), gate=None)
    task = store.task_row("t1")
    assert task is not None
    calls = [(call.state, len(call.attempts)) for call in store.calls()[::-1]]
    assert store.verify() == []
    await store.close()
    return task.spent.nano, task.held.nano, calls


def everything_in(folder: Path) -> bytes:
    """Return every byte that a run has left."""
    return b"".join(each.read_bytes() for each in folder.iterdir())


async def test_a_job_survives_a_kill_and_arrives_once_and_is_paid_once(tmp_path: Path) -> None:
    async with Simulator(SCRIPT, clock=(clock := SteppedClock())) as sim:
        (tmp_path / "callgate.toml").write_text(SETTINGS.format(url=sim.url))
        killed = await start_agent(tmp_path)
        await until_asked(sim, "/api/jobs/", times=2)
        os.kill(killed.pid, signal.SIGKILL)
        await killed.communicate()
        looked = len(sim.requests)
        next_one = await start_agent(tmp_path)
        await until_asked(sim, "/api/jobs/", times=looked)
        await clock.advance(60)
        out, err = await next_one.communicate()
        assert (out.decode().split(), next_one.returncode) == (["42", "0"], 0), err.decode()
        assert sum(each.method == "POST" for each in sim.requests) == 1
        assert sim.bill().total_nano_usd == 650 * CREDIT_NANO
        assert sim.credits().balances == {KEY: 350}
        spent, held, calls = await rows(tmp_path)
        assert (spent, held) == (sim.bill().total_nano_usd, 0)
        assert calls == [("ok", 1), ("ok", 0)]
        assert KEY not in f"{out!r}{err!r}"
        assert KEY.encode() not in everything_in(tmp_path)


async def test_two_agents_on_the_last_credits_run_one_call(tmp_path: Path) -> None:
    quick = {**RESEARCH, "steps": [{"output": {"found": 1}}]}
    script = {"platform": {"accounts": {KEY: 900}, "tools": [quick]}}
    async with Simulator(script) as sim:
        (tmp_path / "callgate.toml").write_text(SETTINGS.format(url=sim.url))
        agents = [await start_agent(tmp_path) for _ in range(2)]
        ended = [await each.communicate() for each in agents]
        told = json.dumps([[part.decode() for part in each] for each in ended])
        assert sorted(each.returncode or 0 for each in agents) == [0, 1], told
        assert "top up the account at patch" in told
        assert sim.credits().balances == {KEY: 100}
        assert (await rows(tmp_path))[0] == sim.bill().total_nano_usd == 800 * CREDIT_NANO

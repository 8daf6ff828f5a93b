"""A gate is killed over a job at a platform: the result arrives once, and is paid once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from callgate.clock import SystemClock
from callgate.store import CallRow
from callgate.store.opening import open_store
from callgate.store.sqlite import SqliteStore
from callgate.testing.simulator import Simulator
from callgate.testing.simulator.clock import SteppedClock
from tests.contract.store.places import new_place

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
FILE = "sqlite:gate.db"
ROUNDS = 3
SETTINGS = """
[gate]
store = "{store}"
[platforms.patch]
profile = "agentpatch"
base_url = "{url}"
key = "env:PATCH_KEY"
tools = ["research"]
first_poll = "50ms"
longest_poll = "50ms"
[tools."patch.research"]
effect = "{effect}"
[agents.researcher]
tools = ["patch.*"]
[tasks.default]
budget = "$1"
"""
AGENT = """
import asyncio, sys, callgate
async def main():
    async with callgate.open_gate("callgate.toml", agent="researcher") as gate:
        async with gate.task(id=sys.argv[1]) as task:
            result = await task.tool("patch.research", topic="rivers")
            print(result.structured["found"])
asyncio.run(main())
"""


def write_settings(
    folder: Path, sim: Simulator, *, store: str = FILE, effect: str = "read"
) -> None:
    """Write the settings of agents that use a tool with this effect."""
    text = SETTINGS.format(url=sim.url, store=store, effect=effect)
    (folder / "callgate.toml").write_text(text)


async def start_agent(folder: Path, task: str = "t1") -> Process:
    """Start an agent with a gate in its process."""
    environ = {**os.environ, "PATCH_KEY": KEY, "PYTHONPATH": ""}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, task, cwd=folder, env=environ, stdout=PIPE, stderr=PIPE
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


@pytest.mark.parametrize("effect", ["read", "destructive"])
async def test_a_job_survives_a_kill_and_arrives_once_and_is_paid_once(
    tmp_path: Path, effect: str
) -> None:
    async with Simulator(SCRIPT, clock=(clock := SteppedClock())) as sim:
        write_settings(tmp_path, sim, effect=effect)
        killed = await start_agent(tmp_path)
        await until_asked(sim, "/api/jobs/", times=2)
        os.kill(killed.pid, signal.SIGKILL)
        await killed.communicate()
        looked = len(sim.requests)
        next_one = await start_agent(tmp_path)
        await until_asked(sim, "/api/jobs/", times=looked)
        await clock.advance(60)
        out, err = await next_one.communicate()
        assert (out.decode().split(), next_one.returncode) == (["42"], 0), err.decode()
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
        write_settings(tmp_path, sim)
        agents = [await start_agent(tmp_path) for _ in range(2)]
        ended = [await each.communicate() for each in agents]
        told = json.dumps([[part.decode() for part in each] for each in ended])
        assert sorted(each.returncode or 0 for each in agents) == [0, 1], told
        assert "top up the account at patch" in told
        assert sim.credits().balances == {KEY: 100}
        assert (await rows(tmp_path))[0] == sim.bill().total_nano_usd == 800 * CREDIT_NANO


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_whenever_a_gate_is_killed_no_result_and_no_money_is_lost(
    tmp_path: Path, kind: str
) -> None:
    rng = random.Random(5)
    with new_place(kind, tmp_path) as place:
        store = FILE if kind == "sqlite" else place
        async with Simulator(rich(ROUNDS), clock=(clock := SteppedClock())) as sim:
            write_settings(tmp_path, sim, store=store)
            for n in range(ROUNDS):
                await kill_in_the_middle(tmp_path, sim, f"t{n}", seconds=rng.uniform(0, 0.1))
                assert await end_of(tmp_path, clock, f"t{n}") == "42"
            await sim.wait_idle()
            billed, posts = sim.bill().total_nano_usd, begun(sim)
        rows = await calls_of(tmp_path / "gate.db" if kind == "sqlite" else place)
    unknown = [attempt for row in rows for attempt in row.attempts if attempt.estimated]
    # A gate that died before it had noted its job has left one that nobody can ask for: what it held
    # is booked, as nobody knows better, and the platform has charged no more.
    assert posts == ROUNDS + len(unknown)
    assert sum(row.cost.nano for row in rows) == billed + len(unknown) * 150 * CREDIT_NANO


def rich(rounds: int) -> dict[str, Any]:
    """A platform that sells the tool often enough."""
    return {"platform": {"accounts": {KEY: 1600 * rounds}, "tools": [RESEARCH]}}


def begun(sim: Simulator) -> int:
    """How many calls have reached the platform."""
    return sum(each.method == "POST" for each in sim.requests)


async def kill_in_the_middle(folder: Path, sim: Simulator, task: str, *, seconds: float) -> None:
    """Start an agent, and kill it so long after its call has reached the platform."""
    before = begun(sim)
    agent = await start_agent(folder, task)
    async with asyncio.timeout(30):
        while begun(sim) == before:
            await SystemClock().sleep(0.001)
    await SystemClock().sleep(seconds)
    os.kill(agent.pid, signal.SIGKILL)
    await agent.communicate()


async def end_of(folder: Path, clock: SteppedClock, task: str) -> str:
    """Let the agent do its task again, while time goes on; return what it found."""
    agent = await start_agent(folder, task)
    ending = asyncio.create_task(agent.communicate())
    async with asyncio.timeout(60):
        while not ending.done():
            await clock.advance(10)
            await SystemClock().sleep(0.05)
    out, err = await ending
    assert agent.returncode == 0, err.decode()
    return out.decode().split()[0]


async def calls_of(place: Path | str) -> Sequence[CallRow]:
    """Return every call of a store, whose ledger adds up."""
    url = place if isinstance(place, str) else f"sqlite:{place}"
    store = await open_store(url, clock=SystemClock(), gate=None)
    assert store.verify() == []
    rows = store.calls(limit=None)
    await store.close()
    return rows

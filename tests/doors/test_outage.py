"""A provider dies under load, and another one serves: every task ends well, and nothing is paid twice unsaid."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from callgate.config import load
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.gate import Gate
from callgate.keys import digest, new_key
from callgate.store import Key
from callgate.testing.simulator import Simulator
from tests.doors.gatehouse import ENVIRON

SETTINGS = """\
[gate]
store = "sqlite:callgate.db"

[providers.first]
api = "openai"
base_url = "{first}"
key = "env:OPENAI_API_KEY"

[providers.second]
api = "openai"
base_url = "{second}"
key = "env:OPENAI_API_KEY"

[models.smart]
use = ["first:gpt-5.5", "second:gpt-5.5"]

[agents.worker]
models = ["smart"]

[tasks.default]
budget = "$1"
timeout = "60s"
retries = 1
"""

TASKS = 200
DIES_AFTER = 60
SLOW = {"rules": [{"steps": [{"pace": {"headers_seconds": 0.05}}]}]}


async def work(session: aiohttp.ClientSession, task: int) -> int:
    """Make a call for a task of its own; return its status."""
    page = {"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"callgate-task": f"t{task}"}
    async with session.post(
        "/v1/chat/completions", data=json.dumps(page), headers=headers
    ) as reply:
        await reply.read()
        return reply.status


async def test_every_task_ends_well_when_the_first_provider_dies_under_load(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(Simulator(script=SLOW, seed=2))
        first = Simulator(script=SLOW, seed=1)
        await first.__aenter__()
        config = tmp_path / "callgate.toml"
        config.write_text(SETTINGS.format(first=first.openai_url, second=second.openai_url))
        gate = await Gate.open(load(config, environ=ENVIRON), environ=ENVIRON)
        stack.push_async_callback(gate.close)
        key = new_key("agent")
        row = Key(id="key_1", digest=digest(key), agent="worker", created_at=gate.clock.now())
        await gate.store.create_key(row)
        server = Server(http_app(gate), host="127.0.0.1", port=0, drain_seconds=5)
        await server.start()
        stack.push_async_callback(server.stop)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(server.url, headers={"authorization": f"Bearer {key}"})
        )
        running = [asyncio.create_task(work(session, n)) for n in range(TASKS)]
        while sum(task.done() for task in running) < DIES_AFTER:
            await asyncio.wait(running, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        await first.__aexit__(None, None, None)
        statuses = await asyncio.gather(*running)
        await server.stop()
        billed = first.bill().total_nano_usd + second.bill().total_nano_usd
        rows = gate.store.tasks(limit=TASKS)
        calls = gate.store.calls(limit=None)
    assert set(statuses) == {200}
    assert sum(row.spent.nano for row in rows) >= billed
    assert {call.attempts[-1].provider for call in calls} == {"first", "second"}
    # What was paid for twice says so: an attempt before the last that is an estimate.
    paid = [sum(a.cost is not None and a.cost.nano > 0 for a in call.attempts) for call in calls]
    told = [any(a.estimated for a in call.attempts) for call in calls]
    assert all(often == 1 or estimate for often, estimate in zip(paid, told, strict=True))

"""Agents that ask at both doors, plain and streaming, and often hang up before the end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec

AT_ONCE: Final = 16
"""Calls that are under way at any moment."""

KINDS: Final = ("quick", "quick", "slow", "long", "long", "flaky", "cut")
"""What the simulator is asked to do, by a word in the text; see SCRIPT."""

SCRIPT: Final = """
keep_requests = 1000000

[[rules]]
match = { text = "slow" }
steps = [{ pace = { headers_seconds = 0.15 } }]

[[rules]]
match = { text = "long", stream = true }
steps = [{ answer = { words = 40 }, pace = { event_seconds = 0.01 } }]

[[rules]]
match = { text = "flaky" }
per = "request"
steps = [{ fault = { status = 500 } }, {}]

[[rules]]
match = { text = "cut", stream = true }
steps = [{ answer = { words = 40 }, fault = { how = "reset", after_events = 9 } }]
"""

SHARED: Final = 3
"""Tasks of each round that many calls share, and whose budget runs out."""

HANG_UP: Final = 0.2
"""The share of calls whose client does not wait for the end."""


class Load:
    """Calls of one round, each with a text that names its task.

    Args:
        rng: What is asked, and when clients hang up.
        round: A number that no other round has.
        key: What opens the gate.
    """

    def __init__(self, rng: random.Random, *, round: int, key: str) -> None:
        self._rng = rng
        self._round = round
        self._headers = {"authorization": f"Bearer {key}"}
        self._made = 0
        self.ended: Counter[str] = Counter()

    async def run(self, url: str) -> None:
        """Ask until the gate is gone."""
        timeout = aiohttp.ClientTimeout(total=30)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as agents,
        ):
            for _ in range(AT_ONCE):
                agents.create_task(self._ask_on(session))

    async def _ask_on(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                self.ended[await self._ask(session)] += 1
            except aiohttp.ClientConnectorError:
                return
            except (aiohttp.ClientError, OSError):
                self.ended["lost"] += 1

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        self._made += 1
        stream = self._rng.random() < 0.6
        is_shared = self._rng.random() < 0.3
        task = f"r{self._round}-{self._made}"
        headers = dict(self._headers)
        if is_shared:
            task = f"r{self._round}-shared{self._rng.randrange(SHARED)}"
            headers["callgate-task-type"] = "small"
        headers["callgate-task"] = task
        path, body = self._request(task, stream=stream)
        patience = self._rng.uniform(0.0, 0.2) if self._rng.random() < HANG_UP else None
        try:
            async with (
                asyncio.timeout(patience),
                session.post(path, data=msgspec.json.encode(body), headers=headers) as reply,
            ):
                await reply.read()
                return str(reply.status)
        except TimeoutError:
            return "hung up"

    def _request(self, task: str, *, stream: bool) -> tuple[str, Mapping[str, object]]:
        text = f"{task} {self._rng.choice(KINDS)}"
        body: dict[str, object] = {
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            "max_tokens": 50,
        }
        if self._rng.random() < 0.5:
            return "/v1/messages", {"model": "careful", **body}
        if self._rng.random() < 0.5:
            del body["max_tokens"]
        return "/v1/chat/completions", {"model": "smart", **body}

"""Agents that ask at both doors, plain and streaming, and often hang up before the end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp
import msgspec

AT_ONCE: Final = 4
"""Calls that are under way at each gate at any moment."""

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

# All that is allowed, so that a budget empties by what a call may cost.
[[rules]]
match = { text = "whole50" }
steps = [{ answer = { usage = { output_tokens = 50 } } }]

[[rules]]
match = { text = "whole400" }
steps = [{ answer = { usage = { output_tokens = 400 } } }]
"""

SHARED: Final = 3
"""Tasks of each round that many calls share, and whose budget runs out."""

HANG_UP: Final = 0.2
"""The share of calls whose client does not wait for the end."""


CONTENT: Final = frozenset({"200", "hung up"})
"""Ends after which an agent goes on at once."""

TRIES: Final = 3
"""How often an agent asks that cannot take no for an answer."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a refusal, as its client reads them."""

    code: str
    scope: str = ""
    limit: int = 0
    used: int = 0
    held: int = 0
    needed: int = 0

    @property
    def is_true(self) -> bool:
        """Whether the call would have passed the limit."""
        return self.used + self.held + self.needed > self.limit


class Refused(msgspec.Struct, frozen=True):
    """The body of a refusal, at either door."""

    callgate: Refusal


class Load:
    """Calls of one round, each with a text that names its task.

    Args:
        rng: What is asked, and when clients hang up.
        round: A number that no other round has.
        key: What opens the gates.
        users: For how many users, whose budget runs out too.
    """

    def __init__(self, rng: random.Random, *, round: int, key: str, users: int = 4) -> None:
        self._rng = rng
        self._round = round
        self._headers = {"authorization": f"Bearer {key}"}
        self._users = users
        self._made = 0
        self._over = False
        self.ended: Counter[str] = Counter()
        self.refusals: list[Refusal] = []

    async def run(self, url: str) -> None:
        """Ask one gate until it is gone, or the load is over."""
        async with at_gates([url]) as (session,), asyncio.TaskGroup() as agents:
            for _ in range(AT_ONCE):
                agents.create_task(self._ask_on(session))

    def end(self) -> None:
        """Make no new calls."""
        self._over = True

    async def ask_stubbornly(self, session: aiohttp.ClientSession) -> None:
        """Make a call, and try again where it is refused or fails."""
        for _ in range(TRIES):
            try:
                ended = await self._ask(session)
            except (aiohttp.ClientError, OSError):
                ended = "lost"
            self.ended[ended] += 1
            if ended == "200":
                return
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))

    async def _ask_on(self, session: aiohttp.ClientSession) -> None:
        while not self._over:
            try:
                ended = await self._ask(session)
                self.ended[ended] += 1
                if ended not in CONTENT:
                    await asyncio.sleep(self._rng.uniform(0.0, 0.2))
            except aiohttp.ClientConnectorError:
                return
            except (aiohttp.ClientError, OSError):
                self.ended["lost"] += 1

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        self._made += 1
        stream = self._rng.random() < 0.6
        path, body, headers = self._request(stream=stream)
        patience = self._rng.uniform(0.0, 0.2) if self._rng.random() < HANG_UP else None
        try:
            async with (
                asyncio.timeout(patience),
                session.post(path, data=msgspec.json.encode(body), headers=headers) as reply,
            ):
                told = await reply.read()
        except TimeoutError:
            return "hung up"
        if reply.status == 402:
            self.refusals.append(msgspec.json.decode(told, type=Refused).callgate)
        return str(reply.status)

    def _request(self, *, stream: bool) -> tuple[str, Mapping[str, object], Mapping[str, str]]:
        task, headers = self._task()
        text = f"{task} {self._rng.choice(KINDS)}"
        body: dict[str, object] = {
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            "max_tokens": 50,
        }
        if self._rng.random() < 0.5:
            return "/v1/messages", {"model": "careful", **body}, headers
        if self._rng.random() < 0.5:
            del body["max_tokens"]
        return "/v1/chat/completions", {"model": "smart", **body}, headers

    def _task(self) -> tuple[str, Mapping[str, str]]:
        """Choose a task, of its own or shared, and its user."""
        headers = dict(self._headers)
        if self._rng.random() < 0.3:
            n = self._rng.randrange(SHARED)
            headers["callgate-task-type"] = "small"
            task = f"r{self._round}-shared{n}"
        else:
            n = self._made
            task = f"r{self._round}-{n}"
        headers["callgate-task"] = task
        headers["callgate-user"] = f"r{self._round}-user{n % self._users}"
        return task, headers


@asynccontextmanager
async def at_gates(urls: Sequence[str]) -> AsyncGenerator[Sequence[aiohttp.ClientSession]]:
    """Open a session at each gate."""
    async with AsyncExitStack() as sessions:
        yield [
            await sessions.enter_async_context(
                aiohttp.ClientSession(
                    url,
                    timeout=aiohttp.ClientTimeout(total=120),
                    connector=aiohttp.TCPConnector(limit=0),
                )
            )
            for url in urls
        ]

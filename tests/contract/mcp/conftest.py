"""Servers over pipes and over HTTP, of both generations of MCP, with the gate as their client."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Ask, Progress
from callgate.clock import Clock, SystemClock
from callgate.config.mcp_policies import McpPolicy
from callgate.redact import Secret
from callgate.secrets import Secrets
from callgate.tools import Invocation
from callgate.tools.mcp.toolset import McpToolset
from tests.contract.mcp.front import serving
from tests.contract.mcp.peer import Peer

PEER = Path(__file__).with_name("peer.py")


class Bench:
    """Puts up servers, and the gate's side of them."""

    def __init__(self, folder: Path, stack: AsyncExitStack, way: str = "stdio 2026") -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "OPENAI_API_KEY": "sk-never-given",
        }
        self.clock: Clock = SystemClock()
        self._stack = stack
        self.way = way
        self._is_legacy = way.endswith("2025")

    async def connect(
        self, *, options: Mapping[str, Any] | None = None, **policy: Any
    ) -> McpToolset:
        """Return the tools of a peer, started."""
        told = {"journal": str(self.journal), "legacy": self._is_legacy, **(options or {})}
        if self.way.startswith("stdio"):
            where: dict[str, Any] = {
                "command": sys.executable,
                "args": (str(PEER), json.dumps(told)),
            }
        else:
            where = {"url": await self._stack.enter_async_context(serving(Peer(told)))}
        toolset = self.toolset(**{**where, **policy})
        await toolset.ready()
        return toolset

    def toolset(self, **policy: Any) -> McpToolset:
        """Return the tools of any server, which is not started yet."""
        toolset = McpToolset(
            msgspec.structs.replace(McpPolicy(name="peer"), **policy),
            environ=self.environ,
            resolve=Secrets(self.environ, self.folder).resolve,
            folder=self.folder,
            clock=self.clock,
            rng=random.Random(1),
        )
        self._stack.push_async_callback(toolset.close)
        return toolset

    @property
    def sign_of_cancelling(self) -> str:
        """What the peer notes where a call is given up: over HTTP of 2026 its stream is closed."""
        return "stream closed" if self.way == "http 2026" else "cancelled"

    def noted(self) -> list[str]:
        """Return what has happened to the peer."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    async def until(self, line: str) -> None:
        """Wait until something has happened to the peer."""
        await eventually(lambda: line in self.noted())


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own timeout bounds it."""
    for _ in count():
        if condition():
            return
        await asyncio.sleep(0.005)


def invocation(
    toolset: McpToolset,
    tool: str,
    *,
    timeout_seconds: float = 20.0,
    on_progress: Progress | None = None,
    on_question: Ask | None = None,
    credential: Secret | None = None,
    **arguments: Any,
) -> Invocation:
    found = {each.remote_name: each for each in toolset.tools()}[tool]
    return Invocation(
        tool=found,
        arguments=arguments,
        call_id="call_1",
        task_id="t1",
        idempotency_key="k1",
        timeout_seconds=timeout_seconds,
        credential=credential,
        on_progress=on_progress,
        on_question=on_question,
    )


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=["stdio 2026", "stdio 2025", "http 2026", "http 2025"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, stack: AsyncExitStack) -> Bench:
    """A bench for each way to speak to a server."""
    return Bench(tmp_path, stack, request.param)


@pytest.fixture
def pipes(tmp_path: Path, stack: AsyncExitStack) -> Bench:
    """A bench for servers that are processes."""
    return Bench(tmp_path, stack)


@pytest.fixture
def http(tmp_path: Path, stack: AsyncExitStack) -> Bench:
    """A bench for servers that are elsewhere."""
    return Bench(tmp_path, stack, "http 2026")

"""A platform of the simulator on a real socket, and the toolset that connects to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from callgate.call import Tool, ToolResult
from callgate.config.platform_policies import PlatformPolicy
from callgate.money import Money
from callgate.redact import Secret
from callgate.store.balances import Balance
from callgate.testing import FakeClock
from callgate.testing.simulator import Simulator
from callgate.tools import Invocation
from callgate.tools.platform import CreditPlatform

KEY = "ap_canary_0123456789abcdef"
CREDIT = Money(100_000)
"""One credit of AgentPatch."""

SEARCH: Mapping[str, Any] = {
    "slug": "google-search",
    "description": "Searches the web.",
    "price_credits": 50,
    "input_schema": {"type": "object", "required": ["q"]},
    "output_schema": {"type": "object"},
}
RESEARCH: Mapping[str, Any] = {"slug": "research", "price_credits": 800, "mode": "async"}


@dataclass
class Stand:
    """The simulator, the toolset, and what it has noted."""

    sim: Simulator
    platform: CreditPlatform
    clock: FakeClock
    balances: list[Balance] = field(default_factory=list[Balance])
    jobs: list[str] = field(default_factory=list[str])
    note_job: Callable[[str], Awaitable[None]] | None = None
    """What is done with a job's id besides keeping it."""

    def play(
        self, *steps: Mapping[str, Any], tool: Mapping[str, Any] = SEARCH, credits: int = 1000
    ) -> None:
        """Let a tool do something else from now on."""
        self.sim.play(script({**tool, "steps": list(steps)}, credits=credits))

    def tool(self, name: str = "patch.google-search") -> Tool:
        """Return a tool by its name."""
        return next(tool for tool in self.platform.tools() if tool.name == name)

    async def call(self, name: str = "patch.google-search", **arguments: Any) -> ToolResult:
        """Call a tool."""
        return await self.platform.call(self.invocation(name, **arguments))

    def invocation(self, name: str = "patch.google-search", **arguments: Any) -> Invocation:
        """Return one attempt at a tool."""
        return Invocation(
            tool=self.tool(name),
            arguments=arguments or {"q": "Rome"},
            call_id="call_1",
            task_id="t1",
            idempotency_key="call_1",
            timeout_seconds=30.0,
            credential=Secret(KEY),
            note_job=self._note,
        )

    async def _note(self, job_id: str) -> None:
        self.jobs.append(job_id)
        if self.note_job is not None:
            await self.note_job(job_id)


def script(*tools: Mapping[str, Any], credits: int = 1000) -> dict[str, Any]:
    """A script of a platform that sells these tools."""
    return {"platform": {"accounts": {KEY: credits}, "tools": [dict(tool) for tool in tools]}}


@asynccontextmanager
async def open_stand(
    *tools: Mapping[str, Any],
    credits: int = 1000,
    looked_up: bool = True,
    **changes: Any,
) -> AsyncGenerator[Stand]:
    """A platform that sells these tools, and a toolset that uses them all."""
    clock = FakeClock()
    sold = tools or (SEARCH, RESEARCH)
    async with Simulator(script(*sold, credits=credits), clock=FakeClock()) as sim:
        settings: dict[str, Any] = {
            "name": "patch",
            "profile": "agentpatch",
            "base_url": sim.url,
            "key": "env:PATCH_KEY",
            "tools": tuple(str(tool["slug"]) for tool in sold),
        }
        balances: list[Balance] = []
        platform = CreditPlatform(
            PlatformPolicy(**{**settings, **changes}),
            credential=lambda: Secret(KEY),
            clock=clock,
            on_balance=balances.append,
        )
        try:
            if looked_up:
                await platform.refresh()
            yield Stand(sim, platform, clock, balances)
        finally:
            await platform.close()

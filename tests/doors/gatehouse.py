"""A gate behind its HTTP doors, with a simulated provider behind it, all in this event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from msgspec.structs import replace

from callgate.call import Caller, Claims
from callgate.config import load
from callgate.config.policies import Settings
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.gate import Gate
from callgate.keys import digest, new_key
from callgate.store import CallRow, Key
from callgate.testing.simulator import Simulator

SETTINGS = """\
[gate]
store = "sqlite:callgate.db"
{gate}
[providers.openai]
api = "openai"
base_url = "{openai}"
key = "env:OPENAI_API_KEY"
{openai_lines}

[providers.anthropic]
api = "anthropic"
base_url = "{anthropic}"
key = "env:ANTHROPIC_API_KEY"
read_timeout = "5s"

[providers.gemini]
api = "gemini"
base_url = "{gemini}"
key = "env:GEMINI_API_KEY"
read_timeout = "5s"

{providers}

[models.smart]
use = ["openai:gpt-5.5"]

[models.careful]
use = ["anthropic:claude-sonnet-5"]

[models.quick]
use = ["gemini:gemini-3.5-flash"]

[agents.worker]
models = [
  {routes}"smart", "careful", "quick", "openai:gpt-*", "openai:text-embedding-*",
  "anthropic:claude-*", "gemini:gemini-*",
]
tools = ["note", "far.*"]

[tasks.default]
budget = "$1"
{task}

{tables}
"""

ONLY = {"chats": ("openai_chat",), "responses": ("openai_responses",)}
"""Names of providers that take one of OpenAI's formats alone, as compatible servers do."""

ENVIRON = {
    "OPENAI_API_KEY": "sk-real-openai-key",
    "ANTHROPIC_API_KEY": "sk-real-anthropic-key",
    "GEMINI_API_KEY": "AIza-real-gemini-key",
}


@dataclass
class Gatehouse:
    """The gate, its server, its provider, and a key that opens it."""

    gate: Gate
    server: Server
    simulator: Simulator
    key: str

    @property
    def url(self) -> str:
        """Where the gate listens."""
        return self.server.url

    @property
    def rows(self) -> list[CallRow]:
        """The audit log, oldest first."""
        return list(reversed(self.gate.store.calls(limit=None)))

    @property
    def spent_nano_usd(self) -> int:
        """What all tasks have spent together."""
        return sum(row.spent.nano for row in self.gate.store.tasks(limit=10_000))

    async def settled(self) -> None:
        """Wait until every call is settled: a stream's last event does not wait for that."""
        await self.server.stop()

    async def task_key(self, **claims: str) -> str:
        """Return a key that is good for a new task."""
        task = await self.gate.create_task(Caller(agent="worker"), Claims(**claims))
        return await self.gate.create_task_key(task)

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request with the agent's key; return status, headers and body."""
        sent = {"authorization": f"Bearer {self.key}", **(headers or {})}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, data=body, headers=sent) as reply,
        ):
            return reply.status, reply.headers, await reply.read()


@asynccontextmanager
async def open_gatehouse(
    path: Path,
    script: Mapping[str, object] | None = None,
    *,
    gate_lines: str = "",
    task_lines: str = "retries = 0",
    routes: Mapping[str, str] | None = None,
    providers: Mapping[str, str] | None = None,
    servers: Mapping[str, str] | None = None,
    **opening: Any,
) -> AsyncGenerator[Gatehouse]:
    """Start a provider that plays ``script``, and a gate before it.

    Args:
        path: A folder for its settings and its store.
        script: What the provider does.
        gate_lines: Lines of ``[gate]``.
        task_lines: Lines of the only task type.
        routes: Lines of more routes, by name.
        providers: Lines of more providers, by name; ``URL`` stands for where the simulator is.
            Those of ``openai`` are more lines of the one that is there.
        servers: Lines of MCP servers, by name.
        opening: What else :meth:`Gate.open` takes: who answers instead of a provider, a time that a
            test moves, toolsets (the agent may call ``note`` and ``far.…``).
    """
    more = {"openai": 'read_timeout = "5s"', **(providers or {})}
    openai_lines = more.pop("openai")
    async with Simulator(script=script, seed=1) as simulator:
        config = path / "callgate.toml"
        config.write_text(
            SETTINGS.format(
                openai=simulator.openai_url,
                anthropic=simulator.anthropic_url,
                gemini=simulator.gemini_url,
                openai_lines=openai_lines,
                gate=gate_lines,
                task=task_lines,
                providers=_tables("providers", more).replace("URL", simulator.url),
                routes="".join(f'"{name}", ' for name in routes or {}),
                tables=_tables("models", routes) + "\n" + _tables("mcp", servers),
            )
        )
        settings = _narrowed(load(config, environ=ENVIRON))
        gate = await Gate.open(settings, environ=ENVIRON, **opening)
        server = Server(http_app(gate), host="127.0.0.1", port=0, drain_seconds=5)
        await server.start()
        try:
            key = new_key("agent")
            row = Key(id="key_1", digest=digest(key), agent="worker", created_at=gate.clock.now())
            await gate.store.create_key(row)
            yield Gatehouse(gate, server, simulator, key)
        finally:
            await server.stop()
            await gate.close()


def _tables(section: str, lines: Mapping[str, str] | None) -> str:
    """Return the tables of a section, from the lines of each."""
    return "\n".join(f"[{section}.{name}]\n{each}" for name, each in (lines or {}).items())


def _narrowed(settings: Settings) -> Settings:
    """Let a provider whose name says so take one format alone."""
    providers = {
        name: replace(provider, formats=ONLY.get(name, provider.formats))
        for name, provider in settings.providers.items()
    }
    return replace(settings, providers=providers)

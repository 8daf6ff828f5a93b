"""How the MCP servers of a gate are, for whoever looks after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec

from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.errors import Misconfigured
from callgate.secrets import Secrets
from callgate.tools import Toolset
from callgate.tools.mcp.toolset import McpToolset


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """One server."""

    name: str
    status: str
    """``running``, ``starting``, ``waiting`` for its next start, ``resting`` after many, ``stopped``."""
    protocol_version: str | None
    tools: int
    """How many it offers."""
    unusable: Mapping[str, str]
    """What it offers besides and nobody can call, with the reasons."""
    list_age_seconds: float | None
    """How old its list of tools is."""
    list_digest: str | None
    """SHA-256 of the list; it changes with any definition."""
    calls: int
    """How many are under way."""
    starts: int
    """How often it was started."""
    failure: str | None
    """What ended it last."""


def server_states(toolsets: Iterable[Toolset]) -> Sequence[ServerState]:
    """Return how the servers among some toolsets are."""
    return [_state(each) for each in toolsets if isinstance(each, McpToolset)]


async def restart_server(toolsets: Mapping[str, Toolset], name: str) -> ServerState | None:
    """End a server and start it anew; return how it is then, None where there is no such server."""
    toolset = toolsets.get(name)
    if not isinstance(toolset, McpToolset):
        return None
    await toolset.restart()
    await toolset.ready()
    return _state(toolset)


async def look_at_servers(
    settings: Settings, environ: Mapping[str, str], clock: Clock
) -> Sequence[ServerState]:
    """Start every server of some settings, look at it, and end it.

    Args:
        settings: Which servers.
        environ: Where ``env:`` references are looked up.
        clock: What time it is.

    Raises:
        Misconfigured: The SDK of MCP is not installed.
    """
    toolsets = [_toolset(name, settings, environ, clock) for name in settings.mcp]
    try:
        await asyncio.gather(*(toolset.ready() for toolset in toolsets))
        return server_states(toolsets)
    finally:
        await asyncio.gather(*(toolset.close() for toolset in toolsets))


async def log_in(
    name: str,
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    *,
    show: Callable[[str], Awaitable[None]],
) -> int:
    """Have a person agree that the gate may use a server; return how many tools it has.

    Args:
        name: What the settings call it.
        settings: Where it stands.
        environ: Where ``env:`` references are looked up, and where the home is.
        clock: What time it is.
        show: Takes the address where a person agrees.

    Raises:
        Misconfigured: There is no such server, nobody logs in to it, or it was not agreed to.
    """
    if name not in settings.mcp:
        msg = f"the settings have no [mcp.{name}]; there is {', '.join(settings.mcp) or 'none'}"
        raise Misconfigured(msg)
    toolset = _toolset(name, settings, environ, clock)
    try:
        return len((await toolset.log_in(show)).definitions)
    except ExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        msg = f"there is no token for {name}: {error}"
        raise Misconfigured(msg) from group


def _toolset(name: str, settings: Settings, environ: Mapping[str, str], clock: Clock) -> McpToolset:
    folder = Path.cwd() if settings.path is None else settings.path.parent
    return McpToolset(
        settings.mcp[name],
        environ=environ,
        resolve=Secrets(environ, folder).resolve,
        folder=folder,
        clock=clock,
        # Jitter needs no secrecy.
        rng=random.Random(),  # noqa: S311
    )


def _state(toolset: McpToolset) -> ServerState:
    told, states = toolset.listing, toolset.states
    newest = states[-1] if states else None
    return ServerState(
        name=toolset.name,
        status="stopped" if newest is None else newest.status,
        protocol_version=None if newest is None else newest.protocol_version,
        tools=0 if told is None else len(told.definitions),
        unusable={} if told is None else {each.name: each.reason for each in told.unusable},
        list_age_seconds=toolset.age_seconds,
        list_digest=None if told is None else told.digest,
        calls=sum(state.calls for state in states),
        starts=sum(state.starts for state in states),
        failure=None if newest is None else newest.failure,
    )

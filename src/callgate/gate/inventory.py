"""The inventory: every tool that settings name or that their gates have seen, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from callgate.call import Effect, Tool
from callgate.config.policies import Settings
from callgate.gate.lock import Lock, lock_beside
from callgate.money import Money
from callgate.store import Pinned
from callgate.tools.direct import direct_toolsets

State = Literal["ours", "accepted", "changed", "new", "gone"]
"""``ours``: the settings themselves say what it is; the others as :attr:`callgate.store.Pinned.state`."""


HINDRANCES: Final[Mapping[State, str]] = {
    "changed": "it is not what was accepted",
    "new": "it was never accepted",
    "gone": "it is not listed any more",
}
"""By state: why a tool is not called."""


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """One tool."""

    name: str
    """What agents call it."""
    source: str
    """Where it comes from, such as ``python my_tools:web_search`` or ``mcp git``."""
    effect: Effect
    cost: Money | None
    """The most that a call costs; None where nobody says."""
    state: State
    pinned: Pinned | None = None
    """What was accepted of it, where it is defined by others."""

    @property
    def hindrance(self) -> str | None:
        """Why nobody may call it now; None where that hangs on who asks."""
        return HINDRANCES.get(self.state)


def inventory(settings: Settings, pins: Sequence[Pinned]) -> Sequence[Offered]:
    """Return every tool, by name.

    Args:
        settings: What names them.
        pins: What gates have seen of the tools of others.

    Raises:
        Misconfigured: A function that the settings name is not there, or the lock cannot be read.
    """
    lock = lock_beside(settings)
    found = [*_own(settings), *(_of_others(settings, locked(lock, each)) for each in pins)]
    return sorted(found, key=lambda offered: offered.name)


def locked(lock: Lock | None, pinned: Pinned) -> Pinned:
    """Return a tool with what a lock file says is accepted of it, where there is one."""
    if lock is None:
        return pinned
    by_name = {each.tool: each for each in lock.definitions(pinned.toolset)}
    return msgspec.structs.replace(pinned, accepted=by_name.get(pinned.tool), accepted_at=None)


def _own(settings: Settings) -> Iterator[Offered]:
    for toolset in direct_toolsets(settings):
        for tool in toolset.tools():
            as_set = settings.tools[tool.name].applied_to(tool)
            yield Offered(
                name=tool.name,
                source=_source(settings, tool),
                effect=as_set.effect,
                cost=as_set.cost,
                state="ours",
            )


def _source(settings: Settings, tool: Tool) -> str:
    policy = settings.tools[tool.name]
    if policy.http is not None:
        return f"http {policy.http.method} {policy.http.url}"
    return f"python {policy.python}"


def _of_others(settings: Settings, pinned: Pinned) -> Offered:
    definition = pinned.seen or pinned.accepted
    policy = settings.tools.get(pinned.name)
    effect = definition.effect if definition else "destructive"
    cost = definition.cost if definition else None
    return Offered(
        name=pinned.name,
        source=f"{'platform' if pinned.toolset in settings.platforms else 'mcp'} {pinned.toolset}",
        effect=effect if policy is None else policy.effect or effect,
        cost=cost if policy is None or policy.cost is None else policy.cost,
        state=pinned.state,
        pinned=pinned,
    )

"""Who may what, and why: the same rights that decide on the road, asked for everything at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from callgate.config.conditions import Condition
from callgate.config.policies import Settings
from callgate.errors import Denied
from callgate.gate.inventory import Offered
from callgate.pipeline.permission import permitted
from callgate.pipeline.rights import GLOB, Right, rights


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one agent may use one model, or call one tool."""

    agent: str
    kind: Literal["model", "tool"]
    name: str
    is_allowed: bool
    why: str
    """What allows it, or what does not."""
    fix: str | None = None
    """What would allow it; None where it is."""
    conditions: tuple[Condition, ...] = ()
    """What must be true of each call."""
    offered: Offered | None = None
    """The tool; None for a model."""

    @property
    def verdict(self) -> Literal["yes", "if", "no"]:
        """``if``: some calls, by their arguments."""
        if not self.is_allowed:
            return "no"
        return "if" if self.conditions else "yes"


def access(
    settings: Settings, agents: Sequence[str], tools: Sequence[Offered], *, task_type: str | None
) -> list[Access]:
    """Return what agents may do.

    Args:
        settings: Where it stands.
        agents: Whose names they have.
        tools: All that there are.
        task_type: The type of the task; None leaves out what types narrow.
    """
    asking = _Asking(settings, task_type)
    found: list[Access] = []
    for agent in agents:
        found += asking.models(agent, agents)
        found += (asking.tool(agent, offered) for offered in tools)
        found += asking.unknown(agent, agents, tools)
    return found


class _Asking(msgspec.Struct, frozen=True):
    """Asks for one type of tasks."""

    settings: Settings
    task_type: str | None

    def models(self, agent: str, agents: Sequence[str]) -> Iterator[Access]:
        """Yield every route, and whatever else is named for any of some agents."""
        settings = self.settings
        named = {name for each in agents for name in settings.agents[each].models}
        given = rights(settings, "models", agent=agent, task_type=self.task_type)
        for name in settings.models:
            yield self._route(agent, name, given)
        for name in sorted(named - settings.models.keys()):
            yield self._named(agent, "model", name, given)

    def tool(self, agent: str, offered: Offered) -> Access:
        """Return whether an agent may call a tool."""
        given = rights(self.settings, "tools", agent=agent, task_type=self.task_type)
        found = self._named(agent, "tool", offered.name, given)
        found = msgspec.structs.replace(
            found, offered=offered, conditions=tuple(self._conditions(agent, offered.name))
        )
        why, pinned = offered.hindrance, offered.pinned
        if not found.is_allowed or why is None or pinned is None:
            return found
        fix = f"callgate tools diff {pinned.toolset} shows it"
        return msgspec.structs.replace(found, is_allowed=False, why=why, fix=fix)

    def unknown(
        self, agent: str, agents: Sequence[str], tools: Sequence[Offered]
    ) -> Iterator[Access]:
        """Yield the names of tools that cover none that is known, of any of some agents."""
        named = {name for each in agents for name in self.settings.agents[each].tools}
        given = rights(self.settings, "tools", agent=agent, task_type=self.task_type)
        for name in sorted(named):
            if not any(fnmatchcase(tool.name, name) for tool in tools):
                found = self._named(agent, "tool", name, given)
                told = f"{found.why}; no such tool has been seen yet"
                yield msgspec.structs.replace(found, why=told) if found.is_allowed else found

    def _route(self, agent: str, name: str, given: Sequence[Right]) -> Access:
        candidates = self.settings.models[name].use
        try:
            allowed = permitted(self.settings, given, name, api="")
        except Denied as denied:
            return Access(
                agent=agent, kind="model", name=name, is_allowed=False, fix=denied.reason.fix,
                why=f"nothing in {denied.reason.rule} covers it",
            )  # fmt: skip
        only = ", ".join(each.name for each in allowed)
        why = _by(given, name) if len(allowed) == len(candidates) else f"only {only}"
        return Access(agent=agent, kind="model", name=name, is_allowed=True, why=why)

    def _named(
        self, agent: str, kind: Literal["model", "tool"], name: str, given: Sequence[Right]
    ) -> Access:
        for right in given:
            if not right.allows(name):
                why = f"nothing in {right.rule} covers it"
                fix = right.denied(name).reason.fix
                return Access(agent=agent, kind=kind, name=name, is_allowed=False, why=why, fix=fix)
        return Access(agent=agent, kind=kind, name=name, is_allowed=True, why=_by(given, name))

    def _conditions(self, agent: str, name: str) -> Iterator[Condition]:
        policy = None if self.task_type is None else self.settings.tasks.get(self.task_type)
        of_type = () if policy is None else policy.conditions
        for condition in (*self.settings.agents[agent].conditions, *of_type):
            if fnmatchcase(name, condition.pattern):
                yield condition


def _by(given: Sequence[Right], name: str) -> str:
    """Return what covers a name, in each place."""
    return ", ".join(
        f"{right.rule}: {pattern}" for right in given if (pattern := _covering(right, name))
    )


def _covering(right: Right, name: str) -> str | None:
    """Return the narrowest of a place's names that covers one: itself, else a glob."""
    patterns = [pattern for pattern in right.names if fnmatchcase(name, pattern)]
    plain = (pattern for pattern in patterns if not set(pattern) & GLOB)
    return next(plain, patterns[0] if patterns else None)

"""Permission: least privilege, decided on names before anything is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from callgate.call import Candidate, Tool
from callgate.config.policies import AgentPolicy, Settings
from callgate.errors import Denied, Reason, Unknown
from callgate.pipeline.stage import ModelPassage, ToolPassage
from callgate.wire import Format

Decide = Callable[[str, str, str], tuple[Candidate, ...]]
"""Takes agent, model name and api, and returns who may serve; raises as :func:`permitted`."""

MOST_LISTED = 20
"""Tools that a refusal names."""

REMEMBERED = 1024
"""Decisions that are kept; they follow from the settings alone."""


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """Let an agent use only the models that its settings name."""

    decide: Decide
    formats: Mapping[str, Format]

    def guard(self, passage: ModelPassage, /) -> None:
        """Look the model's name up, and refuse it if this agent may not use it."""
        request = passage.request
        assert request is not None
        api = self.formats[passage.call.format].api
        passage.candidates = self.decide(passage.call.caller.agent, request.model, api)


class ToolPermission(msgspec.Struct, frozen=True, kw_only=True):
    """Let an agent call only the tools that its settings name."""

    settings: Settings
    find: Callable[[str], Tool | None]
    every: Callable[[], Iterable[Tool]]

    def guard(self, passage: ToolPassage, /) -> None:
        """Look the tool up, and refuse it if this agent may not call it."""
        agent = self.settings.agents[passage.call.caller.agent]
        name = passage.call.name
        tool = self.find(name)
        if allows_tool(agent, name):
            if tool is None:
                raise _no_tool(agent, name, self.every())
            passage.tool = tool
            return
        # Who may not call a tool does not learn whether there is one.
        raise _tool_denied(agent, name)


def deciding_by(settings: Settings) -> Decide:
    """Return what decides by these settings, and remembers what it has decided."""

    @lru_cache(maxsize=REMEMBERED)
    def decide(agent: str, name: str, api: str) -> tuple[Candidate, ...]:
        return permitted(settings, settings.agents[agent], name, api=api)

    return decide


def permitted(
    settings: Settings, agent: AgentPolicy, name: str, *, api: str
) -> tuple[Candidate, ...]:
    """Return who may serve ``name`` for ``agent``, in order.

    A permission for a route's name covers all its candidates; otherwise each candidate needs a
    permission of its own, by ``provider:model``.

    Raises:
        Unknown: No such name; the message lists the nearest that the agent may use.
        Denied: The name exists, and none of the agent's permissions covers it.
    """
    candidates = look_up(settings, name, api=api)
    if not candidates:
        raise _unknown(settings, agent, name)
    if name in settings.models and _allows(agent, name):
        return candidates
    allowed = tuple(candidate for candidate in candidates if _allows(agent, candidate.name))
    if not allowed:
        raise _denied(agent, name, candidates)
    return allowed


def look_up(settings: Settings, name: str, *, api: str) -> tuple[Candidate, ...]:
    """Return who serves a model name: a route, ``provider:model``, or the door's one provider.

    Args:
        settings: Routes and providers.
        name: As the agent wrote it; ``provider/model`` is accepted.
        api: What the door speaks; a bare name belongs to the one provider with this api.
    """
    route = settings.models.get(name)
    if route is not None:
        return route.use
    for separator in ":/":
        provider, found, model = name.partition(separator)
        if found and model and provider in settings.providers:
            return (Candidate(provider=provider, model=model),)
    speakers = [provider.name for provider in settings.providers.values() if provider.api == api]
    if len(speakers) == 1 and name:
        return (Candidate(provider=speakers[0], model=name),)
    return ()


def _allows(agent: AgentPolicy, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in agent.models)


def allows_tool(agent: AgentPolicy, name: str) -> bool:
    """Return whether an agent may call a tool of that name."""
    return any(fnmatchcase(name, pattern) for pattern in agent.tools)


def _no_tool(agent: AgentPolicy, name: str, every: Iterable[Tool]) -> Unknown:
    usable = sorted(tool.name for tool in every if allows_tool(agent, tool.name))
    near = get_close_matches(name, usable, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listing = ", ".join(usable[:MOST_LISTED]) or "none"
    more = f" and {len(usable) - MOST_LISTED} more" if len(usable) > MOST_LISTED else ""
    msg = f"there is no tool {name!r} now{hint} This agent may call: {listing}{more}"
    fix = "call one of these, or see callgate tools list for where tools come from"
    return Unknown(msg, reason=Reason(code="unknown_tool", rule="tools", fix=fix))


def _tool_denied(agent: AgentPolicy, name: str) -> Denied:
    listing = ", ".join(agent.tools) or "none"
    msg = f"the agent {agent.name!r} may not call {name!r}; its tools are: {listing}"
    fix = f'add "{name}" to tools under [agents.{agent.name}]'
    rule = f"agents.{agent.name}.tools"
    return Denied(
        msg, reason=Reason(code="tool_denied", rule=rule, scope=f"agent:{agent.name}", fix=fix)
    )


def _unknown(settings: Settings, agent: AgentPolicy, name: str) -> Unknown:
    usable = [route for route in settings.models if _allows(agent, route)]
    near = get_close_matches(name, usable, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listing = ", ".join(sorted(usable)) or "none by name"
    msg = f"there is no model {name!r}{hint} This agent may use: {listing}"
    fix = f"add [models.{name}] to the settings, or ask for provider:model"
    return Unknown(msg, reason=Reason(code="unknown_model", rule="models", fix=fix))


def _denied(agent: AgentPolicy, name: str, candidates: tuple[Candidate, ...]) -> Denied:
    served = ", ".join(candidate.name for candidate in candidates)
    listing = ", ".join(agent.models) or "nothing"
    msg = f"the agent {agent.name!r} may not use {name!r} ({served}); it may use: {listing}"
    fix = f'add "{name}" to models under [agents.{agent.name}]'
    rule = f"agents.{agent.name}.models"
    return Denied(
        msg, reason=Reason(code="model_denied", rule=rule, scope=f"agent:{agent.name}", fix=fix)
    )


def listed(settings: Settings, agent: AgentPolicy) -> tuple[str, ...]:
    """Return the model names to show to an agent: its routes, and what it may use by full name."""
    routes = [name for name in settings.models if _allows(agent, name)]
    named = [name for name in agent.models if ":" in name and not set(name) & set("*?[")]
    return tuple(dict.fromkeys([*sorted(routes), *sorted(named)]))

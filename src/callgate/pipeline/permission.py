"""Permission: least privilege, decided on names before anything is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache

import msgspec

from callgate.call import Candidate, Tool
from callgate.config.policies import Settings
from callgate.errors import Reason, Unknown
from callgate.pipeline.rights import GLOB, Right, allow, rights, rights_of_tasks
from callgate.pipeline.stage import ModelPassage, ToolPassage
from callgate.wire import Format

Decide = Callable[[str, str, tuple[Right, ...], str, str], tuple[Candidate, ...]]
"""Takes agent, task type, what the task is narrowed to, model name and api, and returns who may serve;
raises as :func:`permitted`."""

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
        assert passage.task is not None
        api = self.formats[passage.call.format].api
        narrowed = rights_of_tasks("models", passage.narrowing)
        agent, task_type = passage.call.caller.agent, passage.task.type
        passage.candidates = self.decide(agent, task_type, narrowed, request.model, api)


class ToolPermission(msgspec.Struct, frozen=True, kw_only=True):
    """Let an agent call only the tools that its settings name."""

    settings: Settings
    find: Callable[[str], Tool | None]
    every: Callable[[], Iterable[Tool]]

    def guard(self, passage: ToolPassage, /) -> None:
        """Look the tool up, and refuse it if this agent may not call it."""
        assert passage.task is not None
        name = passage.call.name
        given = rights(
            self.settings,
            "tools",
            agent=passage.call.caller.agent,
            task_type=passage.task.type,
            tasks=passage.narrowing,
        )
        # Who may not call a tool does not learn whether there is one.
        for right in given:
            if not right.allows(name):
                raise right.denied(name)
        tool = self.find(name)
        if tool is None:
            raise _no_tool(given, name, self.every())
        passage.tool = tool


def deciding_by(settings: Settings) -> Decide:
    """Return what decides by these settings, and remembers what it has decided."""

    @lru_cache(maxsize=REMEMBERED)
    def decide(
        agent: str, task_type: str, narrowed: tuple[Right, ...], name: str, api: str
    ) -> tuple[Candidate, ...]:
        given = rights(settings, "models", agent=agent, task_type=task_type)
        return permitted(settings, (*given, *narrowed), name, api=api)

    return decide


def permitted(
    settings: Settings, rights: Sequence[Right], name: str, *, api: str
) -> tuple[Candidate, ...]:
    """Return who may serve ``name``, in order.

    A right to a route's name covers all its candidates; otherwise each candidate needs one of its own,
    by ``provider:model``.

    Args:
        settings: Routes and providers.
        rights: What is allowed in each place.
        name: As the agent wrote it.
        api: As for :func:`look_up`.

    Raises:
        Unknown: No such name; the message lists the nearest that the agent may use.
        Denied: The name exists, and in one place nothing covers it.
    """
    candidates = look_up(settings, name, api=api)
    if not candidates:
        raise _unknown(settings, rights, name)
    for right in rights:
        if name in settings.models and right.allows(name):
            continue
        allowed = tuple(candidate for candidate in candidates if right.allows(candidate.name))
        if not allowed:
            served = ", ".join(candidate.name for candidate in candidates)
            raise right.denied(name, of=f" ({served})")
        candidates = allowed
    return candidates


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


def _no_tool(given: Sequence[Right], name: str, every: Iterable[Tool]) -> Unknown:
    usable = sorted(tool.name for tool in every if allow(given, tool.name))
    near = get_close_matches(name, usable, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listing = ", ".join(usable[:MOST_LISTED]) or "none"
    more = f" and {len(usable) - MOST_LISTED} more" if len(usable) > MOST_LISTED else ""
    msg = f"there is no tool {name!r} now{hint} This agent may call: {listing}{more}"
    fix = "call one of these, or see callgate tools list for where tools come from"
    return Unknown(msg, reason=Reason(code="unknown_tool", rule="tools", fix=fix))


def _unknown(settings: Settings, rights: Sequence[Right], name: str) -> Unknown:
    usable = [route for route in settings.models if allow(rights, route)]
    near = get_close_matches(name, usable, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listing = ", ".join(sorted(usable)) or "none by name"
    msg = f"there is no model {name!r}{hint} This agent may use: {listing}"
    fix = f"add [models.{name}] to the settings, or ask for provider:model"
    return Unknown(msg, reason=Reason(code="unknown_model", rule="models", fix=fix))


def listed(settings: Settings, rights: Sequence[Right]) -> tuple[str, ...]:
    """Return the model names to show to an agent: its routes, and what it may use by full name."""
    named = (name for right in rights for name in right.names)
    full = {name for name in named if ":" in name and not set(name) & GLOB}
    names = (*sorted(settings.models), *sorted(full))
    return tuple(dict.fromkeys(name for name in names if allow(rights, name)))

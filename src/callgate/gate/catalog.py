"""The catalog: every tool of a gate under one name, whichever toolset it comes from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from callgate.call import Tool
from callgate.clock import Clock
from callgate.config.tool_policies import ToolPolicy
from callgate.errors import CallgateError, Reason, Unknown
from callgate.gate.pins import Held, Pins
from callgate.tools import Lacking, Toolset

LOOK_SECONDS: Final = 10.0
"""How long a change may go unseen where nobody calls; a look costs microseconds where there is none."""

log = logging.getLogger("callgate")


class Catalog:
    """Finds tools by the names that agents call them.

    Args:
        toolsets: Where they come from; of two tools of one name the first is it.
        policies: What the settings say about tools, by name: they have the last word.
        pins: What was accepted of tools that others define.
    """

    def __init__(
        self, toolsets: Sequence[Toolset], policies: Mapping[str, ToolPolicy], pins: Pins
    ) -> None:
        self.toolsets: Mapping[str, Toolset] = {each.name: each for each in toolsets}
        self._policies = policies
        self._seen: dict[str, Sequence[Tool]] = {}
        self._tools: dict[str, Tool] = {}
        self._pins = pins
        self._held: dict[str, Held] = {}
        pins.on_noted = self._forget

    @property
    def opened(self) -> Sequence[Toolset]:
        """The toolsets, in their order."""
        return tuple(self.toolsets.values())

    def __iter__(self) -> Iterator[Tool]:
        """Give every tool that can be called now, by toolset."""
        if self._held:
            self._forget()
        return iter(self.now.values())

    def find(self, name: str, /) -> Tool | None:
        """Return the tool of that name; None where there is none now.

        Raises:
            ToolChanged: It is not what somebody has accepted.
            Unknown: The settings name it, and whoever has it could not be asked for it.
            StoreDown: Nobody can say now what was accepted.
        """
        tool = self.now.get(name)
        if tool is None and name in self._held:
            # Somebody may have accepted it meanwhile, in another process.
            self._forget()
            tool = self.now.get(name)
        if tool is None and name in self._held:
            raise self._held[name].refusal()
        if tool is None and name in self.unavailable:
            raise _unavailable(name)
        return tool

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Why tools that the settings name cannot be had now, by name."""
        lacking = (each for each in self.toolsets.values() if isinstance(each, Lacking))
        return {name: why for each in lacking for name, why in each.unavailable.items()}

    def look(self) -> None:
        """See what is listed now, also where nobody asks for it."""
        if self._pins.is_behind or self._held:
            self._forget()
        _ = self.now

    def _forget(self) -> None:
        self._seen = {}

    @property
    def now(self) -> Mapping[str, Tool]:
        """All tools by name: the same mapping until a toolset says something else."""
        listed = {name: toolset.tools() for name, toolset in self.toolsets.items()}
        if any(listed[name] is not self._seen.get(name) for name in listed):
            held: dict[str, Held] = {}
            tools: dict[str, Tool] = {}
            for name, toolset in self.toolsets.items():
                held |= self._pins.held(toolset, listed[name])
            for tool in chain.from_iterable(listed.values()):
                if tool.name not in held:
                    tools.setdefault(tool.name, self._as_set(tool))
            self._seen, self._held = listed, held
            if tools != self._tools:
                self._tools = tools
        return self._tools

    def _as_set(self, tool: Tool) -> Tool:
        policy = self._policies.get(tool.name)
        return tool if policy is None else policy.applied_to(tool)


def _unavailable(name: str) -> Unknown:
    # Why is not an agent's business: it may name a file, or a key.
    fix = "try again in a minute, or go on without it; the log of the gate says why"
    msg = f"{name} cannot be called now, as nobody could be asked what it is; {fix}"
    return Unknown(msg, reason=Reason(code="tool_unavailable", rule="tools", fix=fix))


class CatalogWatch:
    """Sees now and then what others list, so that a change is told before somebody calls.

    Args:
        clock: What waits between two looks.
        catalog: Returns what to look at; asked at every look, as settings change.
    """

    def __init__(self, clock: Clock, catalog: Callable[[], Catalog]) -> None:
        self._clock = clock
        self._catalog = catalog

    async def go_on(self) -> None:
        """Look again and again."""
        while True:
            try:
                self._catalog().look()
            except CallgateError as error:
                log.warning("tools could not be looked at: %s", error)
            await self._clock.sleep(LOOK_SECONDS)

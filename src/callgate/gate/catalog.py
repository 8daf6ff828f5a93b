"""The catalog: every tool of a gate under one name, whichever toolset it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from callgate.call import Tool
from callgate.config.tool_policies import ToolPolicy
from callgate.tools import Toolset


class Catalog:
    """Finds tools by the names that agents call them.

    Args:
        toolsets: Where they come from; of two tools of one name the first is it.
        policies: What the settings say about tools, by name: they have the last word.
    """

    def __init__(self, toolsets: Sequence[Toolset], policies: Mapping[str, ToolPolicy]) -> None:
        self.toolsets: Mapping[str, Toolset] = {each.name: each for each in toolsets}
        self._policies = policies
        self._seen: dict[str, Sequence[Tool]] = {}
        self._tools: dict[str, Tool] = {}

    @property
    def opened(self) -> Sequence[Toolset]:
        """The toolsets, in their order."""
        return tuple(self.toolsets.values())

    def __iter__(self) -> Iterator[Tool]:
        """Give every tool that is there now, by toolset."""
        return iter(self.now.values())

    def find(self, name: str, /) -> Tool | None:
        """Return the tool of that name; None where there is none now."""
        return self.now.get(name)

    @property
    def now(self) -> Mapping[str, Tool]:
        """All tools by name: the same mapping until a toolset says something else."""
        listed = {name: toolset.tools() for name, toolset in self.toolsets.items()}
        if any(listed[name] is not self._seen.get(name) for name in listed):
            self._seen = listed
            self._tools = {}
            for tool in chain.from_iterable(listed.values()):
                self._tools.setdefault(tool.name, self._as_set(tool))
        return self._tools

    def _as_set(self, tool: Tool) -> Tool:
        policy = self._policies.get(tool.name)
        return tool if policy is None else policy.applied_to(tool)

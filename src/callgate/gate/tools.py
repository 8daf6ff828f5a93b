"""The road of calls to tools: the stages that only they need, and what these are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from callgate.call import Candidate
from callgate.config.policies import Settings
from callgate.gate.catalog import Catalog
from callgate.gate.parts import Parts
from callgate.pipeline import Guard, Stage
from callgate.pipeline.conditions import Conditions
from callgate.pipeline.execute import ExecuteTool
from callgate.pipeline.parse import Parse, ParseTool
from callgate.pipeline.permission import Permission, ToolPermission
from callgate.pipeline.replay import Replay
from callgate.pipeline.route import Route, RouteTool
from callgate.pipeline.tool_terms import ToolTerms
from callgate.pipeline.validate import Validate


class ToolRoad(msgspec.Struct, frozen=True, kw_only=True):
    """What the road of calls to tools has of its own."""

    settings: Settings
    parts: Parts
    catalog: Catalog

    @property
    def stages(self) -> Mapping[type, Stage[Any] | Guard[Any]]:
        """The stages that no other kind of call has."""
        return {
            Parse: ParseTool(),
            Permission: ToolPermission(
                settings=self.settings, find=self.catalog.find, every=self.catalog.__iter__
            ),
            Validate: Validate(),
            Conditions: Conditions(settings=self.settings),
            Replay: Replay(store=self.parts.store, clock=self.parts.clock),
            Route: RouteTool(),
        }

    @property
    def terms(self) -> ToolTerms:
        """What they cost."""
        return ToolTerms()

    @property
    def is_settled(self) -> Callable[[Candidate], bool]:
        """Tells that the settings say where every tool comes from."""
        return lambda _: True

    def keys(self, toolset: str, /) -> Iterable[str | None]:
        """Return the references of the keys that the tools of a toolset are called with."""
        return {tool.key for tool in self.catalog if tool.toolset == toolset}

    @property
    def end(self) -> ExecuteTool:
        """Who calls a tool."""
        return ExecuteTool(
            toolsets=self.catalog.toolsets,
            flights=self.parts.flights,
            store=self.parts.store,
            clock=self.parts.clock,
        )

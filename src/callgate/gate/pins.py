"""Pins: a tool of others is called only as somebody has accepted it."""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence

import msgspec

from callgate.call import Tool
from callgate.clock import Clock
from callgate.errors import Reason, ToolChanged
from callgate.gate.lock import LOCK_NAME, Lock
from callgate.store import Definition, Sight, Store
from callgate.tools import Pinning, Toolset
from callgate.tools.definitions import definition_of

log = logging.getLogger("callgate")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that is listed, and not called."""

    tool: Tool
    is_new: bool
    """Whether it was never accepted; else it is not what was."""
    is_locked: bool
    """Whether a lock file says what is accepted."""

    def refusal(self) -> ToolChanged:
        """Return why a call of it is refused, and what lifts that."""
        tool = self.tool
        what = "was never accepted" if self.is_new else "is not what was accepted"
        fix = f"callgate tools diff {tool.toolset} shows it, callgate tools accept {tool.toolset}"
        fix += f" {tool.remote_name} takes it"
        if self.is_locked:
            fix = f"callgate tools lock --check shows it, and a new {LOCK_NAME} takes it"
        reason = Reason(
            code="tool_new" if self.is_new else ToolChanged.code,
            rule=LOCK_NAME if self.is_locked else "pins",
            scope=f"tool:{tool.name}",
            fix=fix,
        )
        return ToolChanged(f"{tool.name} {what}, so it is not called; {fix}", reason=reason)


class Seen(msgspec.Struct, frozen=True):
    """A list, and what each tool of it says it is, by name."""

    tools: Sequence[Tool]
    told: Mapping[str, Definition]


class Pins(msgspec.Struct, kw_only=True):
    """Holds the lists of toolsets against what was accepted of them."""

    store: Store
    clock: Clock
    lock: Lock | None
    """What a lock file says; None where there is none."""
    on_noted: Callable[[], None] = lambda: None
    """Called when the store has a list: another gate may have been first, and its word counts."""
    seen: dict[str, Seen] = msgspec.field(default_factory=dict[str, "Seen"])
    """By toolset: the list that the store was told last."""
    is_behind: bool = False
    """Whether the store could not be told."""

    def held(self, toolset: Toolset, tools: Sequence[Tool]) -> Mapping[str, Held]:
        """Return which tools of a list are not called, by name; a new list is noted.

        Raises:
            StoreDown: Nobody can say now what was accepted.
        """
        pinning, name = toolset.pinning, toolset.name
        # What has no tools has not told them yet.
        if pinning is None or not tools:
            return {}
        seen = self.seen.get(name)
        if seen is None or seen.tools is not tools:
            told = {tool.name: definition_of(tool, pinning.surroundings) for tool in tools}
            seen = Seen(tools, told)
        accepted = self._accepted(name, pinning, seen.told)
        if self.seen.get(name) is not seen or self.is_behind:
            self.seen[name], self.is_behind = seen, False
            self._note(name, pinning, tuple(seen.told.values()))
        return {
            tool.name: Held(
                tool=tool,
                is_new=tool.remote_name not in accepted,
                is_locked=self.lock is not None,
            )
            for tool in tools
            if accepted.get(tool.remote_name) != seen.told[tool.name].digest
        }

    def _accepted(
        self, name: str, pinning: Pinning, told: Mapping[str, Definition]
    ) -> Mapping[str, str]:
        """Return the digests that are accepted, by tool, with those that are so at first sight."""
        if self.lock is not None:
            return {each.tool: each.digest for each in self.lock.definitions(name)}
        known = {
            each.tool: each.accepted.digest
            for each in self.store.pins(name)
            if each.accepted is not None
        }
        first = {each.tool: each.digest for each in told.values()}
        if pinning.accepting == "each tool at first":
            return {**first, **known}
        return first if pinning.accepting == "the first list" and not known else known

    def _note(self, name: str, pinning: Pinning, definitions: Sequence[Definition]) -> None:
        sight = Sight(
            toolset=name,
            definitions=definitions,
            accepting="nothing" if self.lock is not None else pinning.accepting,
            locked=None if self.lock is None else self.lock.definitions(name),
            seen_at=self.clock.now(),
        )
        self.store.see_tools(sight).add_done_callback(self._noted)

    def _noted(self, noted: Future[None]) -> None:
        if noted.cancelled():
            return
        error = noted.exception()
        if error is None:
            self.on_noted()
            return
        log.warning("a list of tools is not noted, and is at the next look: %s", error)
        self.is_behind = True

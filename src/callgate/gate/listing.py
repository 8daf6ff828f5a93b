"""What the tools of others are now: their toolsets are opened and asked, beside any store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec.structs import replace

from callgate.clock import SystemClock
from callgate.config.policies import Settings
from callgate.errors import TimedOut
from callgate.gate import Gate
from callgate.gate.lock import Lock, lock_of
from callgate.store import Definition, Pinned
from callgate.tools import Toolset
from callgate.tools.definitions import definition_of, lasting

LOOK_SECONDS: Final = 0.05


async def lock_now(
    settings: Settings, *, environ: Mapping[str, str], patience_seconds: float
) -> Lock:
    """Return a lock of what the toolsets of others list now.

    Args:
        settings: What names them; their store is not touched.
        environ: Where references are looked up.
        patience_seconds: How long they may take.

    Raises:
        Misconfigured: A toolset cannot be opened.
        TimedOut: One has not listed anything, so that the lock would miss its tools.
    """
    with TemporaryDirectory() as folder:
        store = f"sqlite:{Path(folder) / 'callgate.db'}"
        beside = replace(settings, gate=replace(settings.gate, store=store))
        gate = await Gate.open(beside, environ=environ)
        try:
            others = [each for each in gate.toolsets if each.pinning is not None]
            await _listed(others, patience_seconds)
            return lock_of({each.name: _texts(each) for each in others})
        finally:
            await gate.close()


def differing(accepted: Lock | None, now: Lock) -> list[Pinned]:
    """Return every tool that is not as a lock says, by name; all of them where there is none."""
    found: list[Pinned] = []
    was = lock_of({}) if accepted is None else accepted
    for toolset in sorted({*was.toolsets, *now.toolsets}):
        old, new = _by_tool(was, toolset), _by_tool(now, toolset)
        found += (
            Pinned(
                toolset=toolset, tool=tool, accepted=old.get(tool), seen=new.get(tool),
                accepted_at=None, seen_at=None,
            )
            for tool in sorted({*old, *new})
        )  # fmt: skip
    return [each for each in found if each.state != "accepted"]


def _by_tool(lock: Lock, toolset: str) -> Mapping[str, Definition]:
    return {each.tool: each for each in lock.definitions(toolset)}


async def _listed(toolsets: Sequence[Toolset], patience_seconds: float) -> None:
    clock = SystemClock()
    until = clock.monotonic() + patience_seconds
    while silent := [each.name for each in toolsets if not each.tools()]:
        if clock.monotonic() > until:
            msg = f"{', '.join(silent)} listed no tool within {patience_seconds:g} s, so nothing is compared"
            raise TimedOut(msg, billed=False)
        await clock.sleep(LOOK_SECONDS)


def _texts(toolset: Toolset) -> Mapping[str, str]:
    """Return what each tool says it is, without what its surroundings change."""
    surroundings: Mapping[str, str] = {}
    if toolset.pinning is not None:
        surroundings = toolset.pinning.surroundings
    found: dict[str, str] = {}
    for tool in toolset.tools():
        definition = definition_of(tool, surroundings)
        text = lasting(definition.text, surroundings)
        found[definition.tool] = text
    return found

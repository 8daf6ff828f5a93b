"""What somebody should know of the tools of others: that they are not what was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callgate.call import new_id
from callgate.store import alerts
from callgate.store.pins import Pinned
from callgate.store.sql import Cursor
from callgate.store.watched import Alert

WAITING: Final = frozenset({"changed", "new"})
"""States in which a tool is not called."""

MOST_TOLD: Final = 20
"""Names that one sentence tells."""


def tell_waiting(cursor: Cursor, pins: Sequence[Pinned], *, now: float) -> None:
    """Raise an alert for each tool that waits for somebody, and resolve those of the others."""
    waiting = [each for each in pins if each.state in WAITING]
    alerts.raise_all(cursor, [_of_tool(each, now=now) for each in waiting])
    others = [_fingerprint(each) for each in pins if each.state not in WAITING]
    alerts.resolve_all(cursor, (others, now))


def tell_first(cursor: Cursor, toolset: str, tools: Sequence[str], *, now: float) -> None:
    """Leave a word that tools were accepted because nobody had seen them before."""
    told = ", ".join(tools[:MOST_TOLD])
    more = f" and {len(tools) - MOST_TOLD:,} more" if len(tools) > MOST_TOLD else ""
    alert = Alert(
        id=new_id("alert"),
        fingerprint=f"toolset:{toolset}",
        kind="tool",
        severity="info",
        scope=f"toolset:{toolset}",
        rule=None,
        message=f"tools of {toolset} were seen for the first time and accepted as they are: {told}{more};"
        f" callgate tools list {toolset} shows them",
        facts={"toolset": toolset, "tools": len(tools)},
        raised_at=now,
    )
    alerts.raise_all(cursor, [alert])
    alerts.resolve_all(cursor, ([alert.fingerprint], now))


def _of_tool(pinned: Pinned, *, now: float) -> Alert:
    toolset, tool = pinned.toolset, pinned.tool
    what = "is not what was accepted" if pinned.state == "changed" else "was never accepted"
    return Alert(
        id=new_id("alert"),
        fingerprint=_fingerprint(pinned),
        kind="tool",
        severity="critical" if pinned.state == "changed" else "warning",
        scope=f"tool:{pinned.name}",
        rule=None,
        message=f"{pinned.name} {what}, and is not called until somebody has looked: callgate tools"
        f" diff {toolset} shows it, callgate tools accept {toolset} {tool} takes it",
        facts={
            "toolset": toolset,
            "tool": tool,
            "state": pinned.state,
            "accepted": None if pinned.accepted is None else pinned.accepted.digest,
            "seen": None if pinned.seen is None else pinned.seen.digest,
        },
        raised_at=now,
    )


def _fingerprint(pinned: Pinned) -> str:
    return f"tool:{pinned.toolset}.{pinned.tool}"

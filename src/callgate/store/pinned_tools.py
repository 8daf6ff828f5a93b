"""Pins as rows: of each tool one as it was accepted, and one as it was seen last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from callgate.store.pins import Definition, Pinned, Sight
from callgate.store.rows import MICROS, Row, maybe_money, micros
from callgate.store.sql import Cursor

COLUMNS: Final = "tool, digest, definition, effect, cost_nano"

READ: Final = f"SELECT toolset, kind, since, {COLUMNS} FROM pins ORDER BY toolset, tool, kind"
READ_ONE: Final = f"""
    SELECT toolset, kind, since, {COLUMNS} FROM pins WHERE toolset = ? ORDER BY tool, kind
"""

WRITE: Final = f"""
    INSERT INTO pins (toolset, kind, since, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (toolset, tool, kind) DO UPDATE SET definition = excluded.definition,
        digest = excluded.digest, effect = excluded.effect, cost_nano = excluded.cost_nano,
        since = CASE WHEN pins.digest = excluded.digest THEN pins.since ELSE excluded.since END
"""

FORGET: Final = "DELETE FROM pins WHERE toolset = ? AND tool = ? AND kind = ?"

Kind = Literal["accepted", "seen"]
Acceptance = tuple[str, Mapping[str, str | None], float]


def see(cursor: Cursor, sight: Sight) -> None:
    """Note what a toolset lists, and accept of it what is to be accepted at first."""
    known = {each.tool: each for each in read(cursor, toolset=sight.toolset)}
    listed = {each.tool for each in sight.definitions}
    for tool in known.keys() - listed:
        cursor.execute(FORGET, (sight.toolset, tool, "seen"))
    accepted = {tool for tool, each in known.items() if each.accepted is not None}
    for definition in sight.definitions:
        _write(cursor, sight.toolset, "seen", sight.seen_at, definition)
        is_first = definition.tool not in accepted
        if sight.accepting == "each tool at first":
            takes = is_first
        else:
            takes = sight.accepting == "the first list" and not accepted
        if takes:
            _write(cursor, sight.toolset, "accepted", sight.seen_at, definition)


def accept(cursor: Cursor, acceptance: Acceptance) -> list[str]:
    """Accept tools that are still what they were when somebody looked; return those."""
    toolset, digests, accepted_at = acceptance
    taken: list[str] = []
    for each in read(cursor, toolset=toolset):
        seen = None if each.seen is None else each.seen.digest
        if each.tool not in digests or digests[each.tool] != seen:
            continue
        if each.seen is None:
            cursor.execute(FORGET, (toolset, each.tool, "accepted"))
        else:
            _write(cursor, toolset, "accepted", accepted_at, each.seen)
        taken.append(each.tool)
    return taken


def read(cursor: Cursor, *, toolset: str | None) -> list[Pinned]:
    """Return every tool that was accepted or seen."""
    if toolset is None:
        rows = cursor.execute(READ, ()).fetchall()
    else:
        rows = cursor.execute(READ_ONE, (toolset,)).fetchall()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, kind, since, *definition in rows:
        one = found.setdefault((name, definition[0]), {})
        one[kind], one[f"{kind}_at"] = _definition_of(definition), since / MICROS
    return [
        Pinned(
            toolset=name,
            tool=tool,
            accepted=one.get("accepted"),
            seen=one.get("seen"),
            accepted_at=one.get("accepted_at"),
            seen_at=one.get("seen_at"),
        )
        for (name, tool), one in found.items()
    ]


def _write(cursor: Cursor, toolset: str, kind: Kind, since: float, definition: Definition) -> None:
    cost = None if definition.cost is None else definition.cost.nano
    cursor.execute(
        WRITE,
        (toolset, kind, micros(since), definition.tool, definition.digest, definition.text,
         definition.effect, cost),
    )  # fmt: skip


def _definition_of(row: Row | list[Any]) -> Definition:
    tool, digest, text, effect, cost = row
    return Definition(tool=tool, digest=digest, text=text, effect=effect, cost=maybe_money(cost))
